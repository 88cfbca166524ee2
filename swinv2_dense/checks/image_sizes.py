"""Sizes of images as a loader returns them, from their headers."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .image_headers import read_image_size

ORIENTATION = 0x0112  # EXIF; 5 to 8 swap the axes
THREADS = 16  # most of the time is spent waiting for the disk


def loaded_size(path: str, is_rotated: bool) -> tuple[int, int] | None:
    """(width, height) of an image as loaded, or None if its header cannot be read.

    Args:
        path: The file.
        is_rotated: Whether the loader rotates images by their EXIF orientation.
    """
    found = stored_size(path)
    if found is None:
        return None
    width, height, is_turned = found
    return (height, width) if is_rotated and is_turned else (width, height)


def stored_size(path: str) -> tuple[int, int, bool] | None:
    """Width and height of the stored pixels, and whether EXIF swaps the axes."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            return (*file.size, _orientation(file) >= 5)
    except Image.DecompressionBombError:
        return None
    except (OSError, ValueError, SyntaxError, struct.error):
        size = _tiff_size(path)
        return (*size, False) if size else None


def _tiff_size(path: str) -> tuple[int, int] | None:
    """Of TIFF with bands that Pillow does not know."""
    try:
        return read_image_size(path)
    except (OSError, ValueError):  # ValueError: a name with a null byte
        return None


def stored_sizes(paths: Sequence[str]) -> list[tuple[int, int, bool] | None]:
    """`stored_size` of many files, read in threads."""
    with ThreadPoolExecutor(min(THREADS, 4 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(stored_size, paths))


def _orientation(file: Any) -> int:
    # Pillow decodes a whole PNG without EXIF in search of EXIF at the end.
    if file.format == 'PNG' and 'exif' not in file.info:
        return 1
    value = file.getexif().get(ORIENTATION, 1)
    return value if isinstance(value, int) else 1
