"""Panoptic quality by hand and against pixel-by-pixel loops, and maps against their JSON."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip('mmdet')
from swinv2_dense.det.panoptic.quality import (  # noqa: E402
    Segment,
    count_matches,
    panoptic_quality,
)
from swinv2_dense.preparation.panoptic_ids import as_rgb, segment_ids  # noqa: E402


def test_ids_are_the_bytes_of_a_pixel():
    rgb = np.array([[[1, 0, 0], [0, 1, 0], [3, 2, 1]]], np.uint8)
    assert segment_ids(rgb).tolist() == [[1, 256, 3 + 512 + 65536]]
    assert (as_rgb(segment_ids(rgb)) == rgb).all()


def test_quality_by_hand():
    """Class 0: an IoU of 3/4, and a miss; class 1: found where nothing is, and wrongly."""
    truth = np.array([[7, 7, 7, 7, 8, 8, 0, 0, 9, 9]])
    found = np.array([[1, 1, 1, 0, 2, 2, 3, 3, 4, 4]])
    true_segments = {7: Segment(0), 8: Segment(0), 9: Segment(1, is_crowd=True)}
    counts = count_matches(truth, true_segments, found, {1: 0, 2: 1, 3: 1, 4: 1}, 3)
    assert counts.tolist() == [[0.75, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]
    score = panoptic_quality(counts, [0, 1, 2])
    assert score.pq == pytest.approx((0.75 / 1.5 + 0) / 2)
    assert score.sq == pytest.approx(0.75 / 2)
    assert score.rq == pytest.approx((1 / 1.5 + 0) / 2)
    assert score.num_classes == 2
    assert panoptic_quality(counts, [2]) == (0, 0, 0, 0)


def by_loops(truth, true_segments, found, found_segments, num_classes: int) -> np.ndarray:
    """The definition, with sets of pixels."""
    counts = np.zeros((num_classes, 4))
    places = list(itertools.product(range(truth.shape[0]), range(truth.shape[1])))
    true_sets = {t: {p for p in places if truth[p] == t} for t in true_segments}
    found_sets = {f: {p for p in places if found[p] == f} for f in found_segments}
    void = {p for p in places if truth[p] == 0}
    matched_true, matched_found = set(), set()
    for (t, segment), (f, label) in itertools.product(
        true_segments.items(), found_segments.items()
    ):
        if segment.is_crowd or segment.label != label:
            continue
        union = true_sets[t] | (found_sets[f] - void)
        iou = len(true_sets[t] & found_sets[f]) / len(union)
        if iou > 0.5:
            counts[label] += iou, 1, 0, 0
            matched_true.add(t)
            matched_found.add(f)
    for f in set(found_segments) - matched_found:
        label = found_segments[f]
        ignored = set(void)
        for t, segment in true_segments.items():
            if segment.is_crowd and segment.label == label:
                ignored |= true_sets[t]
        if len(found_sets[f] & ignored) / len(found_sets[f]) <= 0.5:
            counts[label, 2] += 1
    for t in set(true_segments) - matched_true:
        counts[true_segments[t].label, 3] += not true_segments[t].is_crowd
    return counts


def random_map(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Rectangles on each other, as segments 1 to 5, and 0."""
    ids = np.zeros(shape, np.int64)
    for segment in range(1, 6):
        y, x = rng.integers(0, shape[0] - 1), rng.integers(0, shape[1] - 1)
        ids[y : y + rng.integers(2, 7), x : x + rng.integers(2, 7)] = segment
    return ids


def test_counts_equal_loops_over_pixels():
    rng, matches = np.random.default_rng(0), 0
    for _ in range(40):
        truth = random_map(rng, (9, 11))
        found = np.where(rng.random(truth.shape) < 0.2, random_map(rng, truth.shape), truth)
        labels = {int(f): int(rng.integers(3)) for f in np.unique(found) if f}
        segments = {
            int(t): Segment(labels.get(int(t), 0), bool(rng.random() < 0.2))
            for t in np.unique(truth)
            if t
        }
        crowds = [s.label for s in segments.values() if s.is_crowd]
        if len(set(crowds)) < len(crowds):  # COCO has one crowd of a class in an image
            continue
        counts = count_matches(truth, segments, found, labels, 3)
        expected = by_loops(truth, segments, found, labels, 3)
        np.testing.assert_allclose(counts, expected)
        matches += counts[:, 1].sum()
    assert matches > 20
