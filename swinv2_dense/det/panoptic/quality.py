"""Panoptic quality (arXiv 1801.00868, eq. 1), as COCO evaluates it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

NO_SEGMENT = 0


class Segment(NamedTuple):
    """A segment of a map: its label, and whether it is a crowd, which is matched to nothing."""

    label: int
    is_crowd: bool = False


class Score(NamedTuple):
    """PQ, SQ and RQ of a group of classes, and how many of them occur."""

    pq: float
    sq: float
    rq: float
    num_classes: int


def count_matches(
    truth: np.ndarray,
    true_segments: Mapping[int, Segment],
    found: np.ndarray,
    found_segments: Mapping[int, int],
    num_classes: int,
) -> np.ndarray:
    """(num_classes, 4): sum of IoUs of matched segments, matched, only found, only true.

    Segments of one label match if their IoU is above 0.5, of which a segment has at most one.
    Pixels without true segment do not count against a found one. A found segment that is not
    matched is no error if most of it is without segment or in a crowd of its label.

    Args:
        truth: Segment ids (H, W), 0 where there is none.
        true_segments: By id.
        found: Like `truth`.
        found_segments: Label by id.
        num_classes: Number of labels.
    """
    counts = np.zeros((num_classes, 4))
    pairs, inverse = np.unique(
        np.stack([truth.ravel(), found.ravel()]), axis=1, return_inverse=True
    )
    areas = np.bincount(inverse.ravel(), minlength=pairs.shape[1])
    common = {(int(t), int(f)): int(area) for (t, f), area in zip(pairs.T, areas)}
    true_areas, found_areas = _sums(common, 0), _sums(common, 1)
    matched_true, matched_found = set(), set()
    for (t, f), area in common.items():
        if t not in true_segments or f not in found_segments:
            continue
        segment = true_segments[t]
        if segment.is_crowd or segment.label != found_segments[f]:
            continue
        union = true_areas[t] + found_areas[f] - area - common.get((NO_SEGMENT, f), 0)
        if area / union > 0.5:
            counts[segment.label, :2] += area / union, 1
            matched_true.add(t)
            matched_found.add(f)
    crowds = {s.label: t for t, s in true_segments.items() if s.is_crowd}
    for f, label in found_segments.items():
        if f in matched_found or f not in found_areas:
            continue
        ignored = common.get((NO_SEGMENT, f), 0) + common.get((crowds.get(label), f), 0)
        counts[label, 2] += ignored / found_areas[f] <= 0.5
    for t, segment in true_segments.items():
        counts[segment.label, 3] += t not in matched_true and not segment.is_crowd
    return counts


def panoptic_quality(counts: np.ndarray, labels: Sequence[int]) -> Score:
    """Means over those of `labels` that occur, from the sums of `count_matches`."""
    iou, matched, only_found, only_true = counts[list(labels)].T
    total = matched + (only_found + only_true) / 2
    occurs = total > 0
    if not occurs.any():
        return Score(0.0, 0.0, 0.0, 0)
    iou, matched, total = iou[occurs], matched[occurs], total[occurs]
    return Score(
        float((iou / total).mean()),
        float((iou / np.maximum(matched, 1)).mean()),
        float((matched / total).mean()),
        int(occurs.sum()),
    )


def groups_of(things: Mapping[int, bool]) -> tuple[list[int], list[int], list[int]]:
    """All labels, those of things, and those of stuff."""
    return (
        list(things),
        [label for label, is_thing in things.items() if is_thing],
        [label for label, is_thing in things.items() if not is_thing],
    )


def _sums(common: Mapping[tuple[int, int], int], axis: int) -> dict[int, int]:
    areas: dict[int, int] = {}
    for pair, area in common.items():
        areas[pair[axis]] = areas.get(pair[axis], 0) + area
    return areas
