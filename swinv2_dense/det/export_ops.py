"""Operators of exported detectors whose outputs have fixed shapes, whatever they find.

Here they are mmcv's; in ONNX they are NonMaxSuppression and RoiAlign. Legend: G groups (classes or
levels) that do not suppress each other, N boxes of each, M results.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmcv.ops import batched_nms, roi_align
from torch import Tensor

from ..export.translations import register_translations

METHODS = {'naive': 0, 'linear': 1, 'gaussian': 2}  # of soft-NMS, as in mmcv


@torch.library.custom_op('swinv2_dense::nms', mutates_args=())
def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float, num: int
) -> Tensor:
    """Indices (M,) into G * N of the best boxes after NMS, best first; -1 where there is none.

    Args:
        boxes: (G, N, 4), x1, y1, x2, y2.
        scores: (G, N); only those above `score_threshold` count.
        iou_threshold: Above it, the box with the lower score is suppressed.
        score_threshold: See `scores`.
        num: M.
    """
    settings = dict(type='nms', iou_threshold=iou_threshold)
    return _batched(boxes, scores, settings, score_threshold, num)[0]


@nms.register_fake
def _(boxes, scores, iou_threshold, score_threshold, num):
    return scores.new_empty(num, dtype=torch.long)


@torch.library.custom_op('swinv2_dense::soft_nms', mutates_args=())
def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    score_threshold: float,
    num: int,
) -> tuple[Tensor, Tensor]:
    """Like `nms`, but overlapping boxes get lower scores (arXiv 1704.04503).

    Args:
        boxes, scores, iou_threshold, score_threshold, num: See `nms`.
        sigma, min_score: As in mmcv.
        method: One of the values of `METHODS`.

    Returns:
        Indices (M,), and scores (M,) of 0 where there is none.
    """
    name = next(name for name, number in METHODS.items() if number == method)
    settings = dict(
        type='soft_nms', iou_threshold=iou_threshold, sigma=sigma, min_score=min_score, method=name
    )
    return _batched(boxes, scores, settings, score_threshold, num)


@soft_nms.register_fake
def _(boxes, scores, iou_threshold, sigma, min_score, method, score_threshold, num):
    return scores.new_empty(num, dtype=torch.long), scores.new_empty(num)


def _batched(
    boxes: Tensor, scores: Tensor, settings: dict, score_threshold: float, num: int
) -> tuple[Tensor, Tensor]:
    groups = torch.arange(len(scores))[:, None].expand(scores.shape).flatten()
    (chosen,) = (scores.flatten() > score_threshold).nonzero(as_tuple=True)
    indices, found = scores.new_full((num,), -1, dtype=torch.long), scores.new_zeros(num)
    if len(chosen):
        kept = boxes.flatten(0, 1)[chosen], scores.flatten()[chosen], groups[chosen]
        results, order = batched_nms(*kept, settings)
        count = min(num, len(order))
        indices[:count], found[:count] = chosen[order[:count]], results[:count, -1]
    return indices, found


@torch.library.custom_op('swinv2_dense::roi_align', mutates_args=())
def align_levels(
    maps: list[Tensor],
    rois: Tensor,
    levels: Tensor,
    scales: list[float],
    size: list[int],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """RoIAlign of each region from the map of its level.

    Args:
        maps: Of the levels, each (1, C, H, W).
        rois: (M, 5), an index of the image and x1, y1, x2, y2.
        levels: (M,) indices into `maps`.
        scales: Of the maps, relative to the coordinates.
        size: (h, w) of the result.
        sampling_ratio, aligned: As in mmcv.

    Returns:
        (M, C, h, w).
    """
    out = maps[0].new_zeros(len(rois), maps[0].shape[1], *size)
    for index, (x, scale) in enumerate(zip(maps, scales)):
        chosen = levels == index
        if chosen.any():
            out[chosen] = roi_align(
                x, rois[chosen], tuple(size), scale, sampling_ratio, 'avg', aligned
            )
    return out


@align_levels.register_fake
def _(maps, rois, levels, scales, size, sampling_ratio, aligned):
    return maps[0].new_empty(rois.shape[0], maps[0].shape[1], *size)


def onnx_translations() -> dict[Callable, Callable]:
    """For the exporter; the functions take the arguments of the operators as ONNX values."""
    from .export_onnx import onnx_nms, onnx_roi_align, onnx_soft_nms

    ops = torch.ops.swinv2_dense
    return {
        ops.nms.default: onnx_nms,
        ops.soft_nms.default: onnx_soft_nms,
        ops.roi_align.default: onnx_roi_align,
    }


register_translations(onnx_translations)
