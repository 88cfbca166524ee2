"""Counts of the page about a segmentor, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from swinv2_dense.seg.report import BOUNDARY, boundary_counts, confusion


def maps(seed: int, shape: tuple = (40, 60)) -> tuple[np.ndarray, np.ndarray]:
    """Blocky label maps that mostly agree; 255 is ignored."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, (shape[0] // 10, shape[1] // 10))
    truth = np.kron(blocks, np.ones((10, 10), int)).astype(np.uint8)
    predicted = np.roll(truth, (2, -3), (0, 1)).astype(np.int64)
    truth[:5, :7] = 255
    return truth, predicted


def test_confusion_counts_pixels():
    truth, predicted = maps(0)
    expected = np.zeros((4, 4), int)
    for t, p in zip(truth.flat, predicted.flat):
        if t != 255:
            expected[t, p] += 1
    np.testing.assert_array_equal(confusion(truth, predicted, 4, 255), expected)


@pytest.mark.parametrize('seed', range(2))
def test_boundaries_are_pixels_near_the_outline(seed):
    """Chebyshev distance to the closest pixel outside of the mask or of the image."""
    truth, predicted = maps(seed)
    distance = max(1, round(BOUNDARY * np.hypot(*truth.shape)))
    kept = truth != 255

    def near(mask):
        height, width = mask.shape
        edge = np.zeros_like(mask)
        for row, column in np.argwhere(mask):
            rows = range(row - distance, row + distance + 1)
            columns = range(column - distance, column + distance + 1)
            edge[row, column] = any(
                not (0 <= r < height and 0 <= c < width and mask[r, c])
                for r in rows
                for c in columns
            )
        return edge

    expected = []
    for label in range(4):
        edges = [near((part == label) & kept) for part in (truth, predicted)]
        both, either = (edges[0] & edges[1]).sum(), (edges[0] | edges[1]).sum()
        if either:
            expected.append([label, both, either])
    assert boundary_counts(truth, predicted, 255) == expected


def test_equal_maps_have_equal_boundaries():
    truth, _ = maps(1)
    for _, both, either in boundary_counts(truth, truth.astype(int), 255):
        assert both == either > 0
