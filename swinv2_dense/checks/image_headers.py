"""Read image sizes from headers, without decoding and without the size limits of libraries."""

from __future__ import annotations

import io
import os
import re
import struct
import threading
from pathlib import Path
from typing import BinaryIO

PILLOW_LOCK = threading.Lock()  # for changes of its size limit, which all threads share
LONGEST_HEADER = 2**20  # bytes, for headers with text of any length
MAX_PAGES, MAX_TAGS = 1000, 10000  # of a TIFF
WIDTH_TAG, HEIGHT_TAG = 256, 257


def read_image_size(file: BinaryIO | bytes | str | os.PathLike) -> tuple[int, int] | None:
    """(width, height) in pixels from the header of an image, as stored, before rotation by EXIF.

    For a TIFF with several pages, that of the largest one. None if the header is damaged or the
    format is not one that Pillow or OpenCV reads.
    """
    if isinstance(file, (str, os.PathLike)):
        with Path(file).open('rb') as opened:
            return read_image_size(opened)
    if isinstance(file, bytes):
        file = io.BytesIO(file)
    head = file.read(32)
    for pattern, reader in READERS:
        if re.match(pattern, head, re.DOTALL):
            file.seek(0)
            try:
                size = reader(file)
            except (struct.error, ValueError, OverflowError):
                size = None  # Pillow may still be able to read it
            if size is not None:
                return size
    file.seek(0)
    return _by_pillow(file)


def _by_pillow(file: BinaryIO) -> tuple[int, int] | None:
    """JPEG, WebP, GIF, JPEG 2000, Sun raster and others; opening decodes nothing.

    Pillow refuses to open images beyond its own size limit, which is lifted during the call.
    """
    from PIL import Image

    with PILLOW_LOCK:
        Image.MAX_IMAGE_PIXELS, before = None, Image.MAX_IMAGE_PIXELS
        try:
            with Image.open(file) as image:
                return image.size
        except Exception:  # a damaged header can raise almost anything
            return None
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _png(file: BinaryIO) -> tuple[int, int]:
    return struct.unpack('>II', file.read(24)[16:])


def _bmp(file: BinaryIO) -> tuple[int, int] | None:
    """The height is negative if rows are stored from the top."""
    head = file.read(26)
    length = struct.unpack('<I', head[14:18])[0]
    if not 12 <= length <= 200:
        return None
    kinds = '<HH' if length == 12 else '<ii'
    width, height = struct.unpack_from(kinds, head, 18)
    return abs(width), abs(height)


def _tiff(file: BinaryIO) -> tuple[int, int] | None:
    """TIFF and BigTIFF. Pillow does not support all variants that OpenCV and tifffile read."""
    order = '<' if file.read(4).startswith(b'II') else '>'
    file.seek(2)

    def number(kind: str) -> int:
        return struct.unpack(order + kind, file.read(struct.calcsize(order + kind)))[0]

    is_big = number('H') == 43
    file.seek(8 if is_big else 4)
    page, sizes, seen = number('Q' if is_big else 'I'), [], set()
    while page and page not in seen and len(seen) < MAX_PAGES:
        seen.add(page)
        file.seek(page)
        count = number('Q' if is_big else 'H')
        tags, start, length = {}, file.tell(), 20 if is_big else 12
        for entry in range(min(count, MAX_TAGS)):
            file.seek(start + entry * length)
            tag, kind = number('H'), {3: 'H', 4: 'I', 16: 'Q'}.get(number('H'))
            if tag in (WIDTH_TAG, HEIGHT_TAG) and kind:
                file.seek(8 if is_big else 4, os.SEEK_CUR)  # past the number of values
                tags[tag] = number(kind)
        if len(tags) == 2:
            sizes.append((tags[WIDTH_TAG], tags[HEIGHT_TAG]))
        file.seek(start + count * length)
        try:
            page = number('Q' if is_big else 'I')
        except struct.error:  # truncated after the first page
            break
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _netpbm(file: BinaryIO) -> tuple[int, int] | None:
    """PBM, PGM, PPM, PFM and PAM, with comments between the numbers."""
    text = re.sub(rb'#[^\r\n]*', b' ', file.read(LONGEST_HEADER))
    if text.startswith(b'P7'):
        fields = [re.search(name + rb'\s+(\d{1,18})', text) for name in (b'WIDTH', b'HEIGHT')]
        return (int(fields[0][1]), int(fields[1][1])) if all(fields) else None
    found = re.match(rb'P[1-6Ff]\s+(\d{1,18})\s+(\d{1,18})\s', text)
    return (int(found[1]), int(found[2])) if found else None


def _radiance(file: BinaryIO) -> tuple[int, int] | None:
    """HDR: the resolution, such as `-Y 480 +X 640`, follows an empty line."""
    text = file.read(LONGEST_HEADER)
    found = re.search(rb'\n\n[-+]([XY]) +(\d{1,18}) +[-+]([XY]) +(\d{1,18})\n', text)
    size = {found[1]: int(found[2]), found[3]: int(found[4])} if found else {}
    return (size[b'X'], size[b'Y']) if len(size) == 2 else None


def _exr(file: BinaryIO) -> tuple[int, int] | None:
    """OpenEXR: the attribute dataWindow holds x and y of the first and the last pixel."""
    _, key, rest = file.read(LONGEST_HEADER).partition(b'dataWindow\0box2i\0\x10\0\0\0')
    if not key:
        return None
    x0, y0, x1, y1 = struct.unpack('<iiii', rest[:16])
    return x1 - x0 + 1, y1 - y0 + 1


# Formats that Pillow does not read, or not in all variants that OpenCV and tifffile do.
READERS = (
    (rb'\x89PNG\r\n\x1a\n', _png),
    (rb'BM', _bmp),
    (rb'II[\x2a\x2b]\0|MM\0[\x2a\x2b]', _tiff),
    (rb'P[1-7Ff]\s', _netpbm),
    (rb'#\?(RADIANCE|RGBE)', _radiance),
    (rb'\x76\x2f\x31\x01', _exr),
)
