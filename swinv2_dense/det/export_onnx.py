"""The operators of `export_ops` in ONNX; importing this needs onnxscript."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnxscript
from onnxscript import FLOAT, INT64
from onnxscript import opset18 as op

Value = Any  # of a graph under construction
END = 2**31 - 1


def onnx_nms(
    boxes: Value, scores: Value, iou_threshold: float, score_threshold: float, num: int
) -> Value:
    """`export_ops.nms`: a group is an image of NonMaxSuppression, with one class."""
    kept = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, op.Constant(value_ints=[1])),
        op.Constant(value_ints=[num]),
        op.Constant(value_floats=[iou_threshold]),
        op.Constant(value_floats=[score_threshold]),
    )
    group = op.Gather(kept, op.Constant(value_int=0), axis=1)
    box = op.Gather(kept, op.Constant(value_int=2), axis=1)
    per_group = op.Gather(op.Shape(scores), op.Constant(value_int=1), axis=0)
    flat = op.Add(op.Mul(group, per_group), box)
    values = op.Gather(op.Reshape(scores, op.Constant(value_ints=[-1])), flat, axis=0)
    limit = op.Constant(value_ints=[num])
    count = op.Min(op.Shape(flat), limit)
    _, order = op.TopK(values, count)
    best = op.Gather(flat, order, axis=0)
    pads = op.Concat(op.Constant(value_ints=[0]), op.Sub(limit, count), axis=0)
    return op.Pad(best, pads, op.Constant(value_int=-1))


@onnxscript.script()
def _soft_nms_loop(
    boxes: FLOAT,
    scores: FLOAT,
    num: INT64,
    iou_threshold: FLOAT,
    sigma: FLOAT,
    min_score: FLOAT,
    method: INT64,
    indices: INT64,
    found: FLOAT,
) -> tuple[INT64, FLOAT]:
    per_group = op.Gather(op.Shape(scores), op.Constant(value_int=1), axis=0)
    for step in range(num):
        flat = op.Reshape(scores, op.Constant(value_ints=[-1]))
        best = op.ArgMax(flat, axis=0, keepdims=1)
        score = op.Gather(flat, best, axis=0)
        group = op.Div(best, per_group)
        place = op.Sub(best, op.Mul(group, per_group))
        row = op.Squeeze(op.Gather(scores, group, axis=0), op.Constant(value_ints=[0]))
        others = op.Squeeze(op.Gather(boxes, group, axis=0), op.Constant(value_ints=[0]))
        box = op.Gather(others, place, axis=0)
        x1, y1, x2, y2 = op.Split(others, axis=1, num_outputs=4)
        left, top, right, bottom = op.Split(box, axis=1, num_outputs=4)
        width = op.Relu(op.Sub(op.Min(x2, right), op.Max(x1, left)))
        height = op.Relu(op.Sub(op.Min(y2, bottom), op.Max(y1, top)))
        overlap = op.Mul(width, height)
        area = op.Mul(op.Sub(x2, x1), op.Sub(y2, y1))
        own = op.Mul(op.Sub(right, left), op.Sub(bottom, top))
        union = op.Sub(op.Add(area, own), overlap)
        iou = op.Squeeze(op.Div(overlap, union), op.Constant(value_ints=[1]))
        one = op.Constant(value_float=1.0)
        zero = op.Constant(value_float=0.0)
        is_near = op.GreaterOrEqual(iou, iou_threshold)
        naive = op.Where(is_near, zero, one)
        linear = op.Where(is_near, op.Sub(one, iou), one)
        gaussian = op.Exp(op.Neg(op.Div(op.Mul(iou, iou), sigma)))
        is_naive = op.Equal(method, op.Constant(value_int=0))
        is_linear = op.Equal(method, op.Constant(value_int=1))
        weight = op.Where(is_naive, naive, op.Where(is_linear, linear, gaussian))
        lowered = op.Mul(row, weight)
        kept = op.Where(op.Less(lowered, min_score), zero, lowered)
        zeros = op.Mul(score, zero)
        kept = op.ScatterElements(kept, place, zeros, axis=0)
        scores = op.ScatterElements(
            scores,
            op.Expand(
                op.Unsqueeze(group, op.Constant(value_ints=[1])),
                op.Shape(op.Unsqueeze(kept, op.Constant(value_ints=[0]))),
            ),
            op.Unsqueeze(kept, op.Constant(value_ints=[0])),
            axis=0,
        )
        at = op.Reshape(step, op.Constant(value_ints=[1]))
        indices = op.ScatterElements(
            indices,
            at,
            op.Where(op.Greater(score, zero), best, op.Constant(value_ints=[-1])),
            axis=0,
        )
        found = op.ScatterElements(found, at, score, axis=0)
    return indices, found


def onnx_soft_nms(
    boxes: Value,
    scores: Value,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    score_threshold: float,
    num: int,
) -> tuple[Value, Value]:
    """`export_ops.soft_nms`: a loop that takes the best box and lowers the scores of its group."""
    zero = op.Constant(value_float=0.0)
    threshold = op.Constant(value_float=score_threshold)
    return _soft_nms_loop(
        boxes,
        op.Where(op.Greater(scores, threshold), scores, zero),
        op.Constant(value_int=num),
        op.Constant(value_float=iou_threshold),
        op.Constant(value_float=sigma),
        op.Constant(value_float=min_score),
        op.Constant(value_int=method),
        op.Constant(value_ints=[-1] * num),
        op.Constant(value_floats=[0.0] * num),
    )


def onnx_roi_align(
    maps: Sequence[Value],
    rois: Value,
    levels: Value,
    scales: Sequence[float],
    size: Sequence[int],
    sampling_ratio: int,
    aligned: bool,
) -> Value:
    """`export_ops.align_levels`: RoiAlign per level, and the results in the order of regions."""
    order, results = [], []
    for index, (x, scale) in enumerate(zip(maps, scales)):
        chosen = op.Reshape(
            op.NonZero(op.Equal(levels, op.Constant(value_int=index))),
            op.Constant(value_ints=[-1]),
        )
        regions = op.Gather(rois, chosen, axis=0)
        boxes = op.Slice(
            regions,
            op.Constant(value_ints=[1]),
            op.Constant(value_ints=[END]),
            op.Constant(value_ints=[1]),
        )
        images = op.Mul(chosen, op.Constant(value_int=0))  # of one image
        results.append(
            op.RoiAlign(
                x,
                boxes,
                images,
                coordinate_transformation_mode='half_pixel' if aligned else 'output_half_pixel',
                output_height=size[0],
                output_width=size[1],
                sampling_ratio=sampling_ratio,
                spatial_scale=scale,
            )
        )
        order.append(chosen)
    # Sorting the places (by TopK, of negative values) is their inverse permutation.
    places = op.Concat(*order, axis=0)
    _, inverse = op.TopK(op.Neg(places), op.Shape(places))
    return op.Gather(op.Concat(*results, axis=0), inverse, axis=0)
