"""Image files: which are in a folder, which a dataset leaves out, which are read wrongly."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from .files import files_below

# What OpenCV decodes. Loaders go by content, so a suffix only has to be recognized as an image's.
IMAGE_SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.bmp', '.dib', '.webp', '.tif', '.tiff'),
    *('.jp2', '.ppm', '.pgm', '.pbm', '.pnm', '.pam'),
)
UNREAD_SUFFIXES = ('.gif', '.heic', '.heif', '.avif', '.jxl', '.dng', '.psd', '.tga')


def files_with_suffix(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    """Paths below `folder`, at any depth, that end in one of `suffixes` in any case; sorted.

    Hidden files are left out, as `._NAME.jpg`, which macOS writes beside NAME.jpg.
    """
    if not os.path.isdir(folder):
        return []
    return sorted(name for name in files_below(folder) if name.lower().endswith(suffixes))


def images_left_out(folder: str, used: Collection[str], others: Collection[str]) -> str | None:
    """What is said if `folder` has images that a dataset does not use, or None.

    Args:
        folder: Folder of images.
        used: Paths of the images that the dataset uses.
        others: Paths of files that only look like images, as its label maps.

    An image that lies beside a used one of the same name counts as another form of it.
    """
    stems = {os.path.splitext(os.path.normpath(path))[0] for path in used}
    ignored = {os.path.normpath(path) for path in others}
    names = files_with_suffix(folder, IMAGE_SUFFIXES + UNREAD_SUFFIXES)
    paths = [os.path.normpath(os.path.join(folder, name)) for name in names]
    left = [p for p in paths if os.path.splitext(p)[0] not in stems and p not in ignored]
    if not left:
        return None
    return (
        f'{len(left)} of {len(left) + len(stems)} images in {folder} are not used, as they end in '
        f'{counted_suffixes(left)}; the first is {left[0]}'
    )


def counted_suffixes(paths: Iterable[str]) -> str:
    """The suffixes of files, the most frequent first: .png (12), .JPG (3)."""
    counts = Counter(os.path.splitext(path)[1] for path in paths)
    return ', '.join(f'{suffix} ({n})' for suffix, n in counts.most_common())


# ------------------------------------------------------------------------ what loaders make of them

DARK = 1 << 14  # of 16-bit data: with all values below, less than a quarter of the range is left
TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
SUBFILE, BITS, PHOTOMETRIC, SAMPLES, SAMPLE_FORMAT = 254, 258, 262, 277, 339  # tags of TIFF
LOG_LUV = (32844, 32845)  # photometric interpretation of logarithms of light
SIGNED, FLOAT = 2, 3  # sample formats of TIFF; 1 is unsigned, later ones are complex
REMEDY = 'scale it to 0..255 and save it with 8 bits per channel'


def loader_problem(path: str | os.PathLike) -> str | None:
    """What OpenCV, the default loader of OpenMMLab, gets wrong about an image, or None.

    It makes 8 bits of everything. Of 16 bits it keeps the upper 8: cameras that store 12 bits in
    them give nearly black images. Signed numbers become 0, floating point and 32 bits are not read,
    or misread. Reads the header, of 16-bit images the pixels too. Broken files are left to others.
    """
    kind = header_kind(path)
    if kind != SIXTEEN:
        return None if kind == PAGES else kind
    return dark_problem(largest_value(path))


SIXTEEN = 'has 16 bits'  # right or wrong by the values
PAGES = 'has several pages'  # of which the first is read


def header_kind(path: str | os.PathLike) -> str | None:
    """As `loader_problem` by the header alone; `SIXTEEN` and `PAGES` need not be a problem."""
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


def _tiff_kind(start: bytes, file: object) -> str | None:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    is_big = start[:4] in TIFF_STARTS[2:]
    directory = ImageFileDirectory_v2(start[: 16 if is_big else 8])
    file.seek(directory.next)
    directory.load(file)
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
        return f'has {channels} channels, and at most 4 are read; choose three of them'
    if bits > 8:
        return SIXTEEN
    if not directory.next:
        return None
    file.seek(directory.next)
    directory.load(file)
    return None if directory.get(SUBFILE, 0) & 1 else PAGES  # 1: a smaller copy of the image


def largest_value(path: str | os.PathLike) -> int | None:
    """The largest number in an image, as stored; None if it cannot be decoded."""
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
        f'has 16 bits, but no value above {largest}, which takes {bits}: the loader keeps the '
        f'upper 8 and makes it nearly black; {REMEDY}'
    )
