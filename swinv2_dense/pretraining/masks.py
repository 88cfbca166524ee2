"""Random masks of image patches, and what a pipeline of pre-training packs."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from mmengine.structures import BaseDataElement


@TRANSFORMS.register_module()
class RandomUnitMask(BaseTransform):
    """Choose which units of an image or a clip are masked, at random and without repetition.

    The number of masked units is `ratio` times that of all, rounded up, as in the official code.
    Added key: mask, (M...) uint8, 1 where a unit is masked. Required keys: img (H, W, C), or imgs,
    a list of frames.

    Args:
        unit: Pixels of a unit per axis, (H, W) or (T, H, W); the stride of the last stage.
        ratio: Share of units to mask, above 0 and below 1.
        tubes: Mask the same places at all times of a clip.
        fixed: Seed the draw with the name of the file, without its folders, so that an image has
            the same mask in every epoch and on every machine; for validation and tests.

    Raises:
        ValueError: An argument is out of range; or in `transform`, the input does not divide into
            units, or its file has fewer pixels than a unit.
    """

    def __init__(
        self,
        unit: int | Sequence[int] = 32,
        ratio: float = 0.6,
        tubes: bool = False,
        fixed: bool = False,
    ) -> None:
        self.unit = (unit, unit) if isinstance(unit, int) else tuple(unit)
        if len(self.unit) not in (2, 3) or min(self.unit) < 1:
            raise ValueError(f'RandomUnitMask: unit={unit!r} must be pixels of 2 or 3 axes')
        if not 0 < ratio < 1:
            raise ValueError(f'RandomUnitMask: ratio={ratio} must be above 0 and below 1')
        self.ratio, self.tubes, self.fixed = ratio, tubes, fixed

    def transform(self, results: dict) -> dict:
        """Add a mask for the size of the image."""
        if 'imgs' in results:
            size = (len(results['imgs']), *results['imgs'][0].shape[:2])
        else:
            size = results['img'].shape[:2]
        original = results.get('ori_shape') or results.get('original_shape') or size[-2:]
        if any(side < unit for side, unit in zip(original, self.unit[-2:])):
            raise ValueError(
                f'{original[1]} x {original[0]} pixels are fewer than a unit of the mask, '
                f'{self.unit[-1]} x {self.unit[-2]}'
            )
        if len(size) != len(self.unit) or any(s % u for s, u in zip(size, self.unit)):
            raise ValueError(
                f'RandomUnitMask: an input of {" x ".join(map(str, size))} does not divide into '
                f'units of {" x ".join(map(str, self.unit))} pixels; change the size of the crop'
            )
        name = os.path.basename(str(results.get('img_path') or results.get('filename') or ''))
        generator = np.random.RandomState(zlib.crc32(name.encode())) if self.fixed else np.random
        results['mask'] = self.draw([s // u for s, u in zip(size, self.unit)], generator)
        return results

    def draw(self, units: Sequence[int], generator: np.random.RandomState) -> np.ndarray:
        """A mask (M...) for so many units per axis."""
        shape = units[-2:] if self.tubes else units
        mask = np.zeros(math.prod(shape), np.uint8)
        mask[generator.permutation(mask.size)[: math.ceil(mask.size * self.ratio)]] = 1
        return np.broadcast_to(mask.reshape(shape), units).copy()

    def __repr__(self) -> str:
        return f'{type(self).__name__}(unit={self.unit}, ratio={self.ratio})'


@TRANSFORMS.register_module()
class PackMaskedInputs(BaseTransform):
    """Pack an image (3, H, W), or a clip (3, T, H, W), with its mask in the data sample.

    Required keys: mask, and img or imgs.
    """

    def transform(self, results: dict) -> dict:
        """Return `inputs` and `data_samples`."""
        if 'imgs' in results:
            pixels = np.stack(results['imgs']).transpose(3, 0, 1, 2)
        else:
            pixels = results['img'].transpose(2, 0, 1)
        keys = (key for key in ('img_path', 'filename') if key in results)
        paths = {key: results[key] for key in keys}
        sample = BaseDataElement(metainfo=dict(**paths, img_shape=pixels.shape[-2:]))
        sample.set_field(torch.from_numpy(results['mask']), 'mask')
        return dict(inputs=torch.from_numpy(np.ascontiguousarray(pixels)), data_samples=sample)
