"""Spatial crops of multi-view tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.utils import to_2tuple


@TRANSFORMS.register_module()
class UniformCrops(BaseTransform):
    """Crop every frame at evenly spaced positions along its longer side, like `ThreeCrop`.

    Keys: `imgs`, a list of frames (H, W, 3) of all clips, becomes `num_crops` concatenated lists;
    `img_shape` and `crop_bbox` (x1, y1, x2, y2) are updated.

    Args:
        crop_size: (W, H) in pixels, or one int for both. One side must equal that of the frames.
        num_crops: Crops per clip, such as 5 in "4 x 5 views".

    Raises:
        ValueError: The frames are smaller than the crops, or larger on both sides.
    """

    def __init__(self, crop_size: int | tuple[int, int], num_crops: int) -> None:
        if num_crops < 1:
            raise ValueError(f'num_crops={num_crops} must be at least 1')
        self.crop_size = to_2tuple(crop_size)
        self.num_crops = num_crops

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        frames = results['imgs']
        (height, width), (crop_w, crop_h) = frames[0].shape[:2], self.crop_size
        spare_x, spare_y = width - crop_w, height - crop_h
        if min(spare_x, spare_y) != 0:
            raise ValueError(
                f'crop_size={self.crop_size} (W, H) of UniformCrops does not fit frames of '
                f'{width} x {height}: Resize their shorter side to that of the crops'
            )
        steps = np.linspace(0, 1, self.num_crops) if self.num_crops > 1 else [0.5]
        boxes = [self._box(round(spare_x * step), round(spare_y * step)) for step in steps]
        results['imgs'] = [frame[y1:y2, x1:x2] for x1, y1, x2, y2 in boxes for frame in frames]
        results['crop_bbox'] = np.repeat(np.array(boxes), len(frames), axis=0)
        results['img_shape'] = (crop_h, crop_w)
        return results

    def _box(self, x: int, y: int) -> tuple[int, int, int, int]:
        return x, y, x + self.crop_size[0], y + self.crop_size[1]
