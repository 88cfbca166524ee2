"""Crops: of random size and shape, and windows that cover an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from .resizing import resized

TRIES = 10
PLACES = {  # shares of the free space above and on the left
    'center': (0.5, 0.5),
    'top left': (0, 0),
    'top right': (0, 1),
    'bottom left': (1, 0),
    'bottom right': (1, 1),
}


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Cut out a rectangle of random area and aspect ratio, and resize it (arXiv 1409.4842).

    The area is uniform in `scale` times that of the image, the ratio W / H log-uniform in `ratio`.
    If ten draws do not fit the image, the largest rectangle around its center that has an allowed
    ratio is taken. As torchvision's transform of the name, so that its recipes hold. Draws come
    from numpy's random state.

    Required and modified key: img (H, W, C). Added keys: img_shape, crop_box (x, y, w, h).

    Args:
        size: Of the result in pixels, an int or (H, W).
        scale: Bounds of the area, as shares of the image's.
        ratio: Bounds of the aspect ratio.
        interpolation: Of mmcv with Pillow, which smooths where it shrinks.

    Raises:
        ValueError: An argument out of range.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = 'bicubic',
    ) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f'RandomResizedCrop: size={size!r} must be pixels, an int or (H, W)')
        for name, bounds in (('scale', scale), ('ratio', ratio)):
            if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1]:
                raise ValueError(f'RandomResizedCrop: {name}={bounds} must be (low, high) above 0')
        self.scale, self.ratio, self.interpolation = scale, ratio, interpolation

    def draw(self, height: int, width: int) -> tuple[int, int, int, int]:
        """A rectangle (x, y, w, h) in an image of that size."""
        logs = np.log(self.ratio)
        for _ in range(TRIES):
            area = height * width * np.random.uniform(*self.scale)
            ratio = math.exp(np.random.uniform(*logs))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                x, y = np.random.randint(width - w + 1), np.random.randint(height - h + 1)
                return x, y, w, h
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
        return (width - w) // 2, (height - h) // 2, w, h

    def transform(self, results: dict) -> dict:
        """Crop and resize the image."""
        image = results['img']
        x, y, w, h = results['crop_box'] = self.draw(*image.shape[:2])
        results['img'] = resized(image[y : y + h, x : x + w], self.size[::-1], self.interpolation)
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, scale={self.scale}, ratio={self.ratio})'


@TRANSFORMS.register_module()
class PlacedCrop(BaseTransform):
    """Cut out the center or a corner of an image, for tests with several crops.

    Required and modified key: img (H, W, C). Added key: img_shape.

    Args:
        crop_size: (W, H) in pixels, or one int for both, as of mmcv's `CenterCrop`.
        place: 'center', 'top left', 'top right', 'bottom left' or 'bottom right'.

    Raises:
        ValueError: Another place, or an image smaller than the crop.
    """

    def __init__(self, crop_size: int | Sequence[int], place: str = 'center') -> None:
        self.crop_size = (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)
        if place not in PLACES:
            raise ValueError(f'PlacedCrop: place={place!r} must be one of {", ".join(PLACES)}')
        self.place = place

    def transform(self, results: dict) -> dict:
        """Crop the image."""
        image, (w, h) = results['img'], self.crop_size
        height, width = image.shape[:2]
        if h > height or w > width:
            raise ValueError(
                f'PlacedCrop: crop_size={self.crop_size} (W, H) does not fit an image of {width} x '
                f'{height}; resize its shorter side to at least that'
            )
        down, right = PLACES[self.place]
        y, x = round(down * (height - h)), round(right * (width - w))
        results['img'] = image[y : y + h, x : x + w]
        results['img_shape'] = (h, w)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(crop_size={self.crop_size}, place={self.place!r})'


def covering_spans(extent: int, size: int, stride: int) -> list[tuple[int, int]]:
    """(start, stop) of windows of `size` that cover an axis, as in mmseg's `slide_inference`.

    They are `stride` apart; the last one ends with the axis, and overlaps more.
    """
    count = max(extent - size + stride - 1, 0) // stride + 1
    stops = [min(i * stride + size, extent) for i in range(count)]
    return [(max(stop - size, 0), stop) for stop in stops]
