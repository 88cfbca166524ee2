"""Decode every image and label map of a dataset like training: by OpenCV, rotated by EXIF.

Threads suffice, because OpenCV releases the GIL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..checks.pixel_limit import PixelLimitError, check_pixels, read_image_size
from .report import ReportRow, progress

MISSING = 'missing'
PNG = b'\x89PNG\r\n\x1a\n'
PALETTE = 3  # color type in the header of a PNG


class File(NamedTuple):
    """A required file: path below its folder, and size in pixels."""

    name: str
    width: int
    height: int


class FileError(ValueError):
    """A problem with a file: its kind for the report, and a detail."""

    def __init__(self, kind: str, detail: str = '') -> None:
        super().__init__(kind, detail)


Check = Callable[[Path, File], None]


def check_files(
    part: ReportRow, folder: Path, files: Sequence[File], check: Check, workers: int
) -> None:
    """Run `check` on each of `files` below `folder`, and report its FileErrors."""
    part.expected = len(files)
    if files and not folder.is_dir():
        part.fault('missing folder', str(folder))
        return

    def attempt(file: File) -> FileError | None:
        try:
            check(folder / file.name, file)
        except FileError as fault:
            return fault
        return None

    pool = ThreadPool(workers)
    try:
        results = progress(pool.imap(attempt, files, chunksize=16), part.name, len(files))
        for fault, file in zip(results, files):
            kind, detail = fault.args if fault else ('', '')
            part.found += kind != MISSING
            if fault:
                part.fault(kind, f'{file.name}: {detail}' if detail else file.name)
    finally:
        pool.terminate()
        pool.join()  # a thread inside OpenCV at interpreter exit aborts the process


def warn_of_others(part: ReportRow, folder: Path, names: Collection[str]) -> None:
    """Report the files below `folder` that `names` does not list."""
    for directory, _, files in os.walk(folder):
        below = Path(directory).relative_to(folder)
        for name in files:
            if str(below / name) not in names:
                part.warn('not listed in the annotation file', str(below / name))


def check_image(path: Path, file: File) -> None:
    """Raise a FileError unless the image exists, is intact, and has its stated size."""
    _decode(_read(path), file, cv2.IMREAD_COLOR)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image in pixels; raise a FileError unless it exists and is intact."""
    height, width = _pixels(_read(path), cv2.IMREAD_COLOR).shape[:2]
    return width, height


class LabelMapCheck:
    """Raise a FileError unless the PNG has one 8 bit channel with no values but `labels`."""

    def __init__(self, labels: Sequence[int]) -> None:
        self.is_label = np.zeros(256, dtype=bool)
        self.is_label[list(labels)] = True

    def __call__(self, path: Path, file: File) -> None:
        data = _read(path)
        if not data.startswith(PNG):
            raise FileError('not a PNG')
        depth, color = data[24:26].ljust(2)
        if color == PALETTE:
            raise FileError(
                'PNG with a palette, which OpenCV reads as colors; save the labels as gray levels '
                '(PIL: mode L)'
            )
        if (depth, color) != (8, 0):
            raise FileError('not one channel of 8 bit', f'{depth} bit, color type {color}')
        labels = _decode(data, file, cv2.IMREAD_UNCHANGED)
        wrong = ~self.is_label[labels]
        if wrong.any():
            found = ', '.join(map(str, np.unique(labels[wrong])))
            raise FileError('invalid labels', found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileError(MISSING) from None
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        raise FileError('not readable', getattr(error, 'strerror', None) or str(error)) from error


def _decode(data: bytes, file: File, flag: int) -> np.ndarray:
    """(H, W) or (H, W, 3), uint8, of the file's stated size."""
    pixels = _pixels(data, flag)
    height, width = pixels.shape[:2]
    if (width, height) != (file.width, file.height):
        raise FileError(
            'size differs from the annotations',
            f'{width} x {height}, not {file.width} x {file.height}',
        )
    return pixels


def _pixels(data: bytes, flag: int) -> np.ndarray:
    """Decode an image; OpenCV returns None for a truncated file."""
    try:
        check_pixels(*(read_image_size(data) or (0, 0)), '')
    except PixelLimitError as error:
        raise FileError('more pixels than allowed', error.reason) from error
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:  # an empty file, or more pixels than OpenCV allows
        pixels = None
    if pixels is None:
        raise FileError('damaged: OpenCV cannot decode it', f'{len(data):,} bytes')
    return pixels
