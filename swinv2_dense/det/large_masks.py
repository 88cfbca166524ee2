"""Masks of large images. mmdet keeps (N, H, W) bool: 10 GB for 100 objects and 100 megapixels.

Here masks are pasted one at a time, and only the non-empty rectangle of each is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import nn

LARGEST = 2**28  # bytes of masks up to which mmdet's arrays are kept


class MaskCrop(NamedTuple):
    """The non-empty rectangle of a mask, and the row and column of its upper left corner."""

    pixels: np.ndarray
    row: int
    column: int


class CroppedMasks:
    """A memory-saving replacement for an array (N, H, W) of bool.

    Iterating, or indexing with an integer, creates one full mask at a time; other indices select.
    `np.asarray` and `to_ndarray` create the full array.
    """

    dtype = np.dtype(bool)

    def __init__(self, crops: Sequence[MaskCrop], height: int, width: int) -> None:
        self.crops = list(crops)
        self.shape = (len(self.crops), height, width)

    def __len__(self) -> int:
        return len(self.crops)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self._full, self.crops)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)):
            return self._full(self.crops[index])
        if isinstance(index, torch.Tensor):
            index = index.cpu().numpy()
        chosen = np.arange(len(self))[index]
        return CroppedMasks([self.crops[i] for i in chosen], *self.shape[1:])

    def _full(self, crop: MaskCrop) -> np.ndarray:
        mask = np.zeros(self.shape[1:], bool)
        height, width = crop.pixels.shape
        mask[crop.row : crop.row + height, crop.column : crop.column + width] = crop.pixels
        return mask

    @staticmethod
    def cat(masks: Sequence[CroppedMasks]) -> CroppedMasks:
        """Concatenate; mmengine's `InstanceData.cat` calls it."""
        return CroppedMasks([crop for some in masks for crop in some.crops], *masks[0].shape[1:])

    def to_ndarray(self) -> np.ndarray:
        """(N, H, W) bool."""
        return np.stack(list(self)) if len(self) else np.zeros(self.shape, bool)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.to_ndarray().astype(dtype or bool, copy=False)

    def astype(self, dtype: Any) -> np.ndarray:
        """(N, H, W) of another dtype."""
        return self.to_ndarray().astype(dtype)


def crop_large_masks(model: nn.Module) -> None:
    """Make the mask heads of a detector return `CroppedMasks` if the full array would be large."""
    heads = getattr(getattr(model, 'roi_head', None), 'mask_head', None) or []
    for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
        is_done = isinstance(getattr(head, 'predict_by_feat', None), functools.partial)
        if hasattr(head, 'predict_by_feat') and not is_done:
            head.predict_by_feat = functools.partial(_predict, head.predict_by_feat)


def _predict(
    predict_by_feat: Callable,
    mask_preds: Sequence,
    results_list: list[InstanceData],
    batch_img_metas: list[dict],
    rcnn_test_cfg: Any,
    rescale: bool = False,
    activate_map: bool = False,
) -> list[InstanceData]:
    """mmdet's `FCNMaskHead.predict_by_feat`."""
    settings = dict(rcnn_test_cfg=rcnn_test_cfg, rescale=rescale, activate_map=activate_map)
    found = []
    for masks, results, meta in zip(mask_preds, results_list, batch_img_metas):
        size = len(results) * np.prod(meta['ori_shape'][:2])
        if size <= LARGEST or not rescale or rcnn_test_cfg.mask_thr_binary < 0:
            found += predict_by_feat([masks], [results], [meta], **settings)
            continue
        crops = []
        for i in range(len(results)):  # slices are views, so boxes are rescaled in place
            (one,) = predict_by_feat([masks[i : i + 1]], [results[i : i + 1]], [meta], **settings)
            crops.append(_cropped(one.masks[0]))
        results.masks = CroppedMasks(crops, *meta['ori_shape'][:2])
        found.append(results)
    return found


def _cropped(mask: torch.Tensor) -> MaskCrop:
    rows, columns = (mask.any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    if not rows:
        return MaskCrop(np.zeros((0, 0), bool), 0, 0)
    pixels = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return MaskCrop(pixels.cpu().numpy().copy(), rows[0], columns[0])
