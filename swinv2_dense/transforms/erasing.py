"""Random erasing (arXiv 1708.04896) with noise."""

from __future__ import annotations

import math

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

TRIES = 10
MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # of ImageNet, BGR


@TRANSFORMS.register_module()
class RandomErasing(BaseTransform):
    """Replace a rectangle of random area and aspect ratio by noise, as timm's `mode='pixel'`.

    Noise is normal per pixel and channel, with the mean and deviation that the data preprocessor
    subtracts and divides by. timm draws it after normalization; here it is rounded and clipped to
    what a pixel can hold. Draws come from numpy's global state.

    Required and modified key: img (H, W, 3), uint8.

    Args:
        prob: Probability that an image is changed.
        area: Bounds of the area, as shares of the image's.
        min_aspect: The smallest aspect ratio; the largest is its inverse.
        mean: Of the noise, in the order of the image's channels.
        std: Of the noise.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        prob: float = 0.25,
        area: tuple[float, float] = (0.02, 1 / 3),
        min_aspect: float = 0.3,
        mean: tuple[float, float, float] = MEAN,
        std: tuple[float, float, float] = STD,
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'RandomErasing: prob={prob} must be from 0 to 1')
        if len(area) != 2 or not 0 < area[0] <= area[1] <= 1 or not 0 < min_aspect <= 1:
            raise ValueError(
                f'RandomErasing: area={area} must be (low, high) above 0 and up to 1, '
                f'min_aspect={min_aspect} above 0 and up to 1'
            )
        self.prob, self.area, self.min_aspect = prob, area, min_aspect
        self.mean, self.std = np.array(mean), np.array(std)

    def draw(self, height: int, width: int) -> tuple[int, int, int, int] | None:
        """A rectangle (x, y, w, h) in an image of that size; None if ten draws do not fit."""
        bound = -math.log(self.min_aspect)
        for _ in range(TRIES):
            area = height * width * np.random.uniform(*self.area)
            aspect = math.exp(np.random.uniform(-bound, bound))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < h < height and 0 < w < width:
                y, x = np.random.randint(height - h + 1), np.random.randint(width - w + 1)
                return x, y, w, h
        return None

    def transform(self, results: dict) -> dict:
        """Erase a rectangle of a copy of the image."""
        if np.random.rand() >= self.prob:
            return results
        image = results['img']
        box = self.draw(*image.shape[:2])
        if box is not None:
            x, y, w, h = box
            noise = np.random.normal(self.mean, self.std, (h, w, image.shape[2]))
            image = image.copy()
            image[y : y + h, x : x + w] = noise.round().clip(0, 255)
            results['img'] = image
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, area={self.area})'
