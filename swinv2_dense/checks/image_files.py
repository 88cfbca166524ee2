"""Image files: which are in a folder, which a dataset omits, and which are loaded wrongly."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from .files import files_below

# What OpenCV decodes. Loaders go by content, so the suffix only marks a file as an image.
IMAGE_SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.bmp', '.dib', '.webp', '.tif', '.tiff'),
    *('.jp2', '.ppm', '.pgm', '.pbm', '.pnm', '.pam'),
)
UNREAD_SUFFIXES = ('.gif', '.heic', '.heif', '.avif', '.jxl', '.dng', '.psd', '.tga')


def files_with_suffix(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    """Sorted paths below `folder` that end in one of `suffixes`, ignoring case.

    Hidden files are skipped, such as the `._NAME.jpg` that macOS writes next to NAME.jpg.
    """
    if not os.path.isdir(folder):
        return []
    return sorted(name for name in files_below(folder) if name.lower().endswith(suffixes))


def images_left_out(folder: str, used: Collection[str], others: Collection[str]) -> str | None:
    """Describe the images in `folder` that a dataset does not use; None if there are none.

    An image next to a used one with the same stem counts as a copy of it.

    Args:
        folder: Folder of images.
        used: Paths of the images that the dataset uses.
        others: Paths of files that only look like images, such as its label maps.
    """
    stems = {os.path.splitext(os.path.normpath(path))[0] for path in used}
    ignored = {os.path.normpath(path) for path in others}
    names = files_with_suffix(folder, IMAGE_SUFFIXES + UNREAD_SUFFIXES)
    paths = [os.path.normpath(os.path.join(folder, name)) for name in names]
    left = [p for p in paths if os.path.splitext(p)[0] not in stems and p not in ignored]
    if not left:
        return None
    return (
        f'{len(left)} of {len(left) + len(stems)} images in {folder} are not used because they end '
        f'in {counted_suffixes(left)}; the first is {left[0]}'
    )


def counted_suffixes(paths: Iterable[str]) -> str:
    """The suffixes of files, most frequent first: `.png (12), .JPG (3)`."""
    counts = Counter(os.path.splitext(path)[1] for path in paths)
    return ', '.join(f'{suffix} ({n})' for suffix, n in counts.most_common())


# ----------------------------------------------------------------- images that are loaded wrongly

DARK = 1 << 14  # in 16-bit data; if all values are below, only a quarter of the range is used
TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
SUBFILE, BITS, PHOTOMETRIC, SAMPLES = 254, 258, 262, 277  # tags of TIFF
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
LOG_LUV = (32844, 32845)  # photometric interpretations with logarithmic values
ALPHA = {1, 2}  # kinds of extra samples
SEPARATED = 5  # photometric interpretation of inks, such as CMYK
SIGNED, FLOAT = 2, 3  # sample formats of TIFF; 1 is unsigned, later ones are complex
REMEDY = 'scale it to 0..255 and save it with 8 bits per channel'


def loader_problem(path: str | os.PathLike) -> str | None:
    """What OpenCV, the default loader of OpenMMLab, gets wrong about an image, or None.

    It converts everything to 8 bits. Of 16 bits it keeps the upper 8, so images of cameras that
    store 12 bits become nearly black. Signed numbers become 0; floating point and 32 bits are
    rejected or misread. Only the header is read, plus the pixels of 16-bit images. Broken files are
    not reported here.
    """
    kind = header_kind(path)
    if kind != SIXTEEN:
        return None if kind == PAGES else kind
    return dark_problem(largest_value(path))


SIXTEEN = 'has 16 bits'  # whether that is a problem depends on the values
PAGES = 'has several pages'  # only the first is read


def header_kind(path: str | os.PathLike) -> str | None:
    """`loader_problem` from the header alone; `SIXTEEN` and `PAGES` are not always problems."""
    from PIL import Image

    if str(path).lower().endswith(('.jpg', '.jpeg')):
        return None  # has 8 bits
    try:
        with open(path, 'rb') as file:
            start = file.read(32)
            if start[:4] in TIFF_STARTS:
                return _tiff_kind(start, file)
        if start[:8] == b'\x89PNG\r\n\x1a\n':
            return SIXTEEN if start[24] == 16 else None
        with Image.open(path) as image:
            mode = image.mode
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return None
    if mode == 'F':
        return f'holds floating-point numbers; {REMEDY}'
    return SIXTEEN if mode.startswith('I') else None


def _tiff_kind(start: bytes, file: BinaryIO) -> str | None:
    directory = _tiff_directory(start, file)
    bits = max(directory.get(BITS, (1,)))
    form = max(directory.get(SAMPLE_FORMAT, (1,)))
    channels = directory.get(SAMPLES, 1)
    if form == FLOAT or directory.get(PHOTOMETRIC) in LOG_LUV:
        return f'holds floating-point numbers of {bits} bits; {REMEDY}'
    if form > FLOAT and form != 4:
        return f'holds complex numbers; {REMEDY}'
    if bits > 16:
        return f'holds integers of {bits} bits; {REMEDY}'
    if form == SIGNED:
        return f'holds signed integers of {bits} bits; {REMEDY}'
    if channels > 4:
        return f'has {channels} channels, and at most 4 can be read; choose three of them'
    if bits > 8:
        return SIXTEEN
    if not directory.next:
        return None
    file.seek(directory.next)
    directory.load(file)
    return None if directory.get(SUBFILE, 0) & 1 else PAGES  # 1: a smaller copy of the image


def _tiff_directory(start: bytes, file: BinaryIO) -> Mapping:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    is_big = start[:4] in TIFF_STARTS[2:]
    directory = ImageFileDirectory_v2(start[: 16 if is_big else 8])
    file.seek(directory.next)
    directory.load(file)
    return directory


def loses_bands(path: str | os.PathLike) -> bool:
    """Whether the default loader drops bits or bands of an image that `LoadBands` keeps.

    These are images of more than 8 bits, and TIFF with other bands than gray or colors: 2, or 4 of
    which none is marked as transparency, or gray pages.
    """
    kind = header_kind(path)
    if kind not in (None, PAGES):
        return True
    try:
        with open(path, 'rb') as file:
            start = file.read(32)
            if start[:4] not in TIFF_STARTS:
                return False
            directory = _tiff_directory(start, file)
    except (OSError, SyntaxError, ValueError, struct.error):
        return False
    channels = directory.get(SAMPLES, 1)
    if kind == PAGES:
        return channels == 1
    has_alpha = bool(ALPHA.intersection(directory.get(EXTRA_SAMPLES, ())))
    return channels in (2, 4) and not has_alpha and directory.get(PHOTOMETRIC) != SEPARATED


def largest_value(path: str | os.PathLike) -> int | None:
    """The largest stored value of an image; None if it cannot be decoded."""
    import cv2
    import numpy as np

    image = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    return None if image is None else int(image.max())


def dark_problem(largest: int | None) -> str | None:
    """What is wrong with 16-bit images whose largest value is `largest`."""
    if largest is None or largest >= DARK:
        return None
    bits = max(largest, 1).bit_length()
    return (
        f'has 16 bits, but no value above {largest}, which takes only {bits}: the loader keeps the '
        f'upper 8, so the image becomes nearly black; {REMEDY}'
    )
