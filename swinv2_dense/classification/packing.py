"""The last step of a pipeline."""

from __future__ import annotations

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from .samples import ClassificationSample

META_KEYS = ('img_path', 'ori_shape', 'img_shape', 'flip')


@TRANSFORMS.register_module()
class PackClassificationInputs(BaseTransform):
    """Pack an image (3, H, W) and a `ClassificationSample` with its label, if it has one.

    Required key: img (H, W, 3). Optional keys: gt_label, and those in `meta_keys`.

    Args:
        meta_keys: What the sample keeps.
    """

    def __init__(self, meta_keys: tuple[str, ...] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Return `inputs` and `data_samples`."""
        pixels = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        meta = {key: results[key] for key in self.meta_keys if key in results}
        sample = ClassificationSample(metainfo=meta)
        if results.get('gt_label') is not None:
            sample.set_label(results['gt_label'])
        return dict(inputs=torch.from_numpy(pixels), data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'
