"""EXIF orientation: read it, and write a copy of a JPEG file without it.

Viewers and OpenCV rotate the pixels, and some annotation tools do not.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

ORIENTATION = 0x0112
UPRIGHT = 1
FIRST_TURNED = 5  # orientations from here on swap width and height
START_OF_SCAN = 0xDA


class Header(NamedTuple):
    width: int  # of the stored pixels
    height: int
    orientation: int  # 1 to 8

    @property
    def loaded(self) -> tuple[int, int]:
        """Width and height after rotation."""
        turned = self.orientation >= FIRST_TURNED
        return (self.height, self.width) if turned else (self.width, self.height)


def read_header(path: Path) -> Header | None:
    """Size and orientation of an image; None if Pillow cannot read it."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            # Pillow decodes a whole PNG without EXIF in search of EXIF at the end.
            has_exif = file.format != 'PNG' or 'exif' in file.info
            value = file.getexif().get(ORIENTATION, UPRIGHT) if has_exif else UPRIGHT
            valid = isinstance(value, int) and UPRIGHT <= value <= 8
            return Header(*file.size, value if valid else UPRIGHT)
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        return None


def without_rotation(data: bytes) -> bytes | None:
    """A JPEG file whose orientation is set to upright; the pixels are not encoded again.

    None if it is not a JPEG file with an orientation in EXIF.
    """
    place = _orientation_place(data)
    if place is None:
        return None
    start, order = place
    return data[:start] + struct.pack(f'{order}H', UPRIGHT) + data[start + 2 :]


def _orientation_place(data: bytes) -> tuple[int, str] | None:
    """Offset of the value of the tag, and its byte order."""
    if data[:2] != b'\xff\xd8':
        return None
    start = 2
    try:
        while data[start] == 0xFF and data[start + 1] != START_OF_SCAN:
            length = struct.unpack_from('>H', data, start + 2)[0]
            if data[start + 1] == 0xE1 and data[start + 4 : start + 10] == b'Exif\0\0':
                return _in_tiff(data, start + 10)
            start += 2 + length
    except (IndexError, struct.error):
        pass
    return None


def _in_tiff(data: bytes, start: int) -> tuple[int, str] | None:
    order = '<' if data[start : start + 2] == b'II' else '>'
    directory = start + struct.unpack_from(f'{order}I', data, start + 4)[0]
    for index in range(struct.unpack_from(f'{order}H', data, directory)[0]):
        entry = directory + 2 + 12 * index
        tag, kind = struct.unpack_from(f'{order}HH', data, entry)
        if tag == ORIENTATION and kind == 3:
            return entry + 8, order
    return None
