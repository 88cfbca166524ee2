"""Resizing by the shorter side."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


def resized(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """An image (H, W, C) in another size (width, height).

    By Pillow, which filters when it shrinks; it takes 8 bits only, so bands are resized by OpenCV.
    """
    if image.dtype == np.uint8:
        return mmcv.imresize(image, size, interpolation=interpolation, backend='pillow')
    found = mmcv.imresize(image, size, interpolation=interpolation, backend='cv2')
    return found if found.ndim == image.ndim else found[..., None]  # of one band


@TRANSFORMS.register_module()
class ResizeShorterSide(BaseTransform):
    """Resize an image so that its shorter side has `size` pixels, whatever the longer one.

    The longer side is rounded down, as in torchvision's `Resize`, so that published accuracies can
    be reproduced; mmcv's `Resize` rounds to the nearest pixel.

    Required and modified key: img (H, W, C). Added key: img_shape.

    Args:
        size: Of the shorter side, in pixels.
        interpolation: Of mmcv with Pillow, which smooths where it shrinks.

    Raises:
        ValueError: `size` is not positive.
    """

    def __init__(self, size: int, interpolation: str = 'bicubic') -> None:
        if size < 1:
            raise ValueError(f'ResizeShorterSide: size={size} must be at least 1 pixel')
        self.size, self.interpolation = size, interpolation

    def transform(self, results: dict) -> dict:
        """Resize the image."""
        height, width = results['img'].shape[:2]
        shorter = min(height, width)
        size = tuple(self.size * side // shorter for side in (width, height))
        results['img'] = resized(results['img'], size, self.interpolation)
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, interpolation={self.interpolation!r})'


@TRANSFORMS.register_module()
class ResizeInto(BaseTransform):
    """Resize an image, with its ratio kept, to be as large as fits into one of `sizes`.

    Args:
        sizes: (H, W) in pixels.
        resize: Config of the `Resize` that does it; keys are those of this step.
    """

    def __init__(self, sizes: list[tuple[int, int]], resize: dict) -> None:
        self.sizes, self.resize = sizes, TRANSFORMS.build(resize)

    def transform(self, results: dict) -> dict:
        """Resize the image."""
        height, width = results['img'].shape[:2]
        factor = max(min(h / height, w / width) for h, w in self.sizes)
        scale = max(1, round(width * factor)), max(1, round(height * factor))
        self.resize.scale = scale
        return self.resize(results)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(sizes={self.sizes})'
