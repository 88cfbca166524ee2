"""Limit the pixels of images, maps and video frames before anything is decoded.

A PNG of 48 KB can hold 20000 x 20000 pixels, which take 1.2 GB as an array and many times that in a
model's postprocessing. Decoders differ: Pillow stops at 179 million pixels, OpenCV at 1074 million,
tifffile and TurboJPEG have no limit. So the size is read from the file header.

The limit holds for the process and its children: `--max-pixels` of the commands, or the environment
variable SWINV2_DENSE_MAX_PIXELS.
"""

from __future__ import annotations

import argparse
import os
import re
from typing import Any

from ..choices import MAX_PIXELS
from ..config_parts import is_local
from ..errors import ConfigError
from .image_headers import PILLOW_LOCK, read_image_size

VARIABLE = 'SWINV2_DENSE_MAX_PIXELS'
FLAG = '--max-pixels'
FILE_KEYS = ('img_path', 'seg_map_path')  # of samples of mmdet and mmseg


class PixelLimitError(ConfigError):
    """An image has more pixels than the limit.

    Attributes:
        reason: The message without the name of the file.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f'{path} {reason}')
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.reason)


def max_pixels() -> int:
    """The limit of this process.

    Raises:
        ConfigError: The environment variable is not a positive integer.
    """
    given = os.environ.get(VARIABLE, str(MAX_PIXELS))
    if not re.fullmatch('0*[1-9][0-9]*', given.strip()):
        raise ConfigError(f'{VARIABLE}={given!r} must be a number of pixels, 1 or more')
    return int(given)


def set_max_pixels(limit: int) -> None:
    """Set the limit for this process and its children.

    Raises:
        ConfigError: It is less than 1.
    """
    if limit < 1:
        raise ConfigError(f'{FLAG}={limit} must be 1 or more')
    os.environ[VARIABLE] = str(limit)


def use_flag(args: argparse.Namespace) -> None:
    """Set the limit from the arguments of a command, if given.

    Raises:
        ConfigError: It is less than 1.
    """
    if args.max_pixels is not None:
        set_max_pixels(args.max_pixels)
    max_pixels()  # raises for a wrong environment variable


def check_pixels(width: int, height: int, path: str) -> None:
    """Raise a `PixelLimitError` if an image or frame exceeds the limit.

    Args:
        width: In pixels.
        height: In pixels.
        path: The file, for the message.
    """
    limit = max_pixels()
    if width * height > limit:
        raise PixelLimitError(
            path,
            f'has {width} x {height} pixels ({width * height / 1e6:,.1f} million), more than the '
            f'limit of {limit / 1e6:,.1f} million; make it smaller, cut it into tiles, or raise '
            f'the limit with {FLAG} if there is memory for it',
        )
    if width * height > MAX_PIXELS:
        _raise_limit_of_pillow(limit)


def _raise_limit_of_pillow(limit: int) -> None:
    """Pillow has a limit of its own: it warns above, and raises above twice as many pixels."""
    from PIL import Image

    with PILLOW_LOCK:
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, -(-limit // 2))


def check_image_file(path: str | os.PathLike) -> None:
    """`check_pixels` with the size in the header of an image; nothing is decoded.

    A file that is missing or has an unknown format passes; decoding it will fail.
    """
    try:
        with open(path, 'rb') as file:
            size = read_image_size(file)
    except OSError:
        return
    if size is not None:
        check_pixels(*size, str(path))


def check_sample(dataset: Any, index: int) -> None:
    """`check_image_file` for the image and the map of a sample of mmdet or mmseg.

    Files that are not on local disks pass: their headers cannot be read separately.
    """
    if not is_local(getattr(dataset, 'backend_args', None)):
        return
    info = dataset.get_data_info(index)
    for key in FILE_KEYS:
        path = info.get(key)
        if isinstance(path, str) and '://' not in path:
            check_image_file(path)
