"""A sheet of panels side by side, with the name of the file and a title above each panel.

Images and pictures are (H, W, 3) uint8 RGB. Small images are enlarged by an integer factor, because
text needs more than 64 pixels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..atomic_files import replacing
from .fonts import printable
from .text import block, font_size, paste, wrapped

LONG_SIDE = 512  # pixels; images are enlarged to at least half of it
SHORT_SIDE = 96  # of very elongated images, unless the long side would exceed FLAT
FLAT = 4096
GAP = 8  # pixels between panels, at least
JPEG_SIDE = 65500  # maximum of JPEG
INK, GROUND = (0, 0, 0), (255, 255, 255)


def enlargement(height: int, width: int) -> int:
    """Integer factor by which an image of this size is enlarged before drawing on it."""
    long, short = max(height, width, 1), max(1, min(height, width))
    flat = min(-(-SHORT_SIDE // short), FLAT // long)
    return max(1, LONG_SIDE // long, flat)


def enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    """(H, W, ...) -> (factor * H, factor * W, ...); the array itself if the factor is 1."""
    return pixels if factor == 1 else pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def displayable(image: np.ndarray) -> np.ndarray:
    """An image of any loader as (H, W, 3) uint8: gray is repeated, extra channels are dropped.

    16-bit integers are reduced to their high byte. Floating-point numbers from 0 to 255 are kept;
    others, such as reflectances or normalized bands, are stretched from their 2 % to their 98 %
    quantile.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] < 3:
        image = image[..., :1].repeat(3, axis=2)
    image = image[..., :3]
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    if image.dtype == np.uint8:
        return image
    image = np.nan_to_num(image)
    is_float = image.dtype.kind == 'f' and image.size
    if is_float and (image.min() < 0 or image.max() > 255 or image.max() <= 2):
        low, high = np.quantile(image, (0.02, 0.98))
        if high > low:
            image = (image - low) * (255 / (high - low))
    return image.clip(0, 255).astype(np.uint8)


def packed_image(sample: dict) -> np.ndarray:
    """RGB image (H, W, 3) of a sample whose pipeline packs (3, H, W), BGR."""
    pixels = sample['inputs'].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(displayable(pixels)[..., ::-1])


def sheet(
    image: np.ndarray,
    titles: Sequence[str],
    caption: str = '',
    factor: int = 1,
    right_block: np.ndarray | None = None,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture with a copy of the image per title, and views of these copies to draw on.

    Args:
        image: The image in every panel.
        titles: A line above each panel; at least one.
        caption: Text above the panels, such as the name of the file; wrapped if necessary.
        factor: Factor of enlargement.
        right_block: Block on the right of the panels, such as a legend.
    """
    height, width = image.shape[0] * factor, image.shape[1] * factor
    size = font_size(height, width)
    gap = max(GAP, size // 3) if len(titles) > 1 or right_block is not None else 0
    needed = max(block([title], size, INK, GROUND).shape[1] for title in titles)
    step = max(width, needed) + gap
    total = len(titles) * step - gap
    if right_block is not None:
        total += right_block.shape[1] + gap
    lines = wrapped(printable(caption), size, total - size) if caption else []
    head = [block(lines, size, INK, GROUND)] if lines else []
    row = [block([title], size, INK, GROUND) for title in titles]
    above = sum(len(part) for part in head) + max(len(part) for part in row) + size // 3
    below = max(height, 0 if right_block is None else len(right_block))
    picture = np.empty((above + below, total, 3), np.uint8)
    picture[:] = GROUND
    top = 0
    for part in head:
        paste(picture, part, size // 3, 0)
        top = len(part)
    views = []
    for index, title in enumerate(row):
        x = index * step
        paste(picture, title, x + max(0, (width - title.shape[1]) // 2), top)
        view = picture[above : above + height, x : x + width]
        if factor == 1:
            view[:] = image
        else:
            for y in range(factor):  # without a copy of the enlarged image
                view[y::factor] = image.repeat(factor, axis=1)
        views.append(view)
    if right_block is not None:
        paste(picture, right_block, total - right_block.shape[1], above)
    return picture, views


def write_picture(file: str | os.PathLike, picture: np.ndarray) -> None:
    """Write an RGB picture atomically, in the format of the file's suffix.

    Raises:
        OSError: It cannot be written.
    """
    import cv2

    path = Path(file)
    is_jpeg = path.suffix.lower() in ('.jpg', '.jpeg')
    if is_jpeg and max(picture.shape) > JPEG_SIDE:
        scale = JPEG_SIDE / max(picture.shape)
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    path.parent.mkdir(parents=True, exist_ok=True)
    options = []
    if is_jpeg:  # full color resolution, for thin lines and letters
        options = [cv2.IMWRITE_JPEG_QUALITY, 95]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    with replacing(path, durable=False, keep_suffix=True) as draft:
        if not cv2.imwrite(str(draft), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options):
            raise OSError(f'{path}: OpenCV could not write this picture')
