"""Panoptic predictions as segments: for pictures, PNGs and JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.evaluation.functional import INSTANCE_OFFSET

from ...drawing.objects import Objects


def found_segments(prediction: Any, num_classes: int) -> tuple[np.ndarray, dict[int, int]]:
    """Segment ids (H, W), 0 where there is none, and labels by id, the largest segment first.

    mmdet's maps have label + 1000 * instance, and the number of classes where there is no segment.

    Args:
        prediction: `pred_panoptic_seg` of a sample, or its dict.
        num_classes: Things and stuff.
    """
    sem_seg = prediction['sem_seg'] if isinstance(prediction, dict) else prediction.sem_seg
    values = sem_seg[0].cpu().numpy().astype(np.int64)
    ids = np.where(values % INSTANCE_OFFSET < num_classes, values + 1, 0)
    found, areas = np.unique(ids, return_counts=True)
    order = np.argsort(-areas, kind='stable')
    return ids, {int(i): int((i - 1) % INSTANCE_OFFSET) for i in found[order] if i}


class SegmentMasks:
    """Masks of segments, created one at a time."""

    def __init__(self, ids: np.ndarray, segments: list[int]) -> None:
        self.ids, self.segments = ids, segments

    def __getitem__(self, index: int) -> np.ndarray:
        return self.ids == self.segments[index]


def panoptic_objects(prediction: Any, num_classes: int) -> Objects:
    """Segments as objects without boxes and scores."""
    ids, labels = found_segments(prediction, num_classes)
    masks = SegmentMasks(ids, list(labels))
    return Objects(np.zeros((len(labels), 4)), np.array(list(labels.values()), int), masks=masks)
