"""The operations of RandAugment (arXiv 1909.13719) on Pillow images, in their natural units.

The classes that use them choose how strong a magnitude makes each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from PIL import Image, ImageEnhance, ImageOps


class Border(NamedTuple):
    """How geometric operations interpolate, and fill what comes in from outside the image."""

    fill: tuple[int, int, int]
    resample: Image.Resampling


def _affine(image: Image.Image, border: Border, *matrix: float) -> Image.Image:
    """Output pixel (x, y) is input pixel (a x + b y + c, d x + e y + f)."""
    affine = Image.Transform.AFFINE
    return image.transform(image.size, affine, matrix, border.resample, fillcolor=border.fill)


def _solarize_add(image: Image.Image, amount: int) -> Image.Image:
    """Add to values below 128."""
    table = [min(255, value + amount) if value < 128 else value for value in range(256)]
    return image.point(table * len(image.getbands()))


# Functions of an RGB image, a value and a border. The unit of the value is in the comment.
OPERATIONS: dict[str, Callable[[Image.Image, float, Border], Image.Image]] = dict(
    identity=lambda image, _, border: image,
    autocontrast=lambda image, _, border: ImageOps.autocontrast(image),
    equalize=lambda image, _, border: ImageOps.equalize(image),
    invert=lambda image, _, border: ImageOps.invert(image),
    # degrees, counterclockwise
    rotate=lambda image, v, border: image.rotate(v, border.resample, fillcolor=border.fill),
    # bits that are kept, 1 to 8
    posterize=lambda image, v, border: ImageOps.posterize(image, int(v)),
    # the smallest value that is inverted, 0 to 256
    solarize=lambda image, v, border: ImageOps.solarize(image, int(v)),
    # what is added to values below 128
    solarize_add=lambda image, v, border: _solarize_add(image, int(v)),
    # factors, 1 for no change
    color=lambda image, v, border: ImageEnhance.Color(image).enhance(v),
    contrast=lambda image, v, border: ImageEnhance.Contrast(image).enhance(v),
    brightness=lambda image, v, border: ImageEnhance.Brightness(image).enhance(v),
    sharpness=lambda image, v, border: ImageEnhance.Sharpness(image).enhance(v),
    # pixels per pixel
    shear_x=lambda image, v, border: _affine(image, border, 1, v, 0, 0, 1, 0),
    shear_y=lambda image, v, border: _affine(image, border, 1, 0, 0, v, 1, 0),
    # shares of the width and of the height
    translate_x=lambda image, v, border: _affine(image, border, 1, 0, v * image.width, 0, 1, 0),
    translate_y=lambda image, v, border: _affine(image, border, 1, 0, 0, 0, 1, v * image.height),
)

# The value of an operation at a strength between -1 and 1, either sign equally likely: timm's
# "increasing" ranges, most of which imgaug shares.
STRENGTHS: dict[str, Callable[[float], float]] = dict(
    autocontrast=lambda s: 0,
    equalize=lambda s: 0,
    invert=lambda s: 0,
    rotate=lambda s: 30 * s,
    posterize=lambda s: max(4 - int(4 * abs(s)), 1),  # Pillow refuses 0
    solarize=lambda s: 256 - int(256 * abs(s)),
    color=lambda s: 1 + 0.9 * s,
    contrast=lambda s: 1 + 0.9 * s,
    brightness=lambda s: 1 + 0.9 * s,
    sharpness=lambda s: 1 + 0.9 * s,
    shear_x=lambda s: 0.3 * s,
    shear_y=lambda s: 0.3 * s,
    translate_x=lambda s: 0.45 * s,
    translate_y=lambda s: 0.45 * s,
)
