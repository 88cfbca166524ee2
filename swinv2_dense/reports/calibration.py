"""Reliability diagrams: how often predictions are right, by their score."""

from __future__ import annotations

import numpy as np

from .page import Lines

BINS = 10
AXIS = dict(min=0.0, max=1.0)


def calibration(scores: np.ndarray, correct: np.ndarray) -> Lines:
    """The diagram of scores (N,) and whether they are right (N,), in ten bins.

    Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599), equation 3.
    """
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    points, error = [], 0.0
    for index in range(BINS):
        inside = bins == index
        if inside.any():
            mean, accuracy = float(scores[inside].mean()), float(correct[inside].mean())
            points.append([mean, accuracy])
            error += inside.mean() * abs(mean - accuracy)
    return reliability(points, error, 'Accuracy')


def reliability(points: list[list[float]], error: float, title: str) -> Lines:
    """The diagram of given points.

    Args:
        points: Mean score, and the part that is right.
        error: The expected calibration error.
        title: Of the part that is right.
    """
    series = [
        dict(name='predictions', points=points),
        dict(name='perfectly calibrated', points=[[0.0, 0.0], [1.0, 1.0]]),
    ]
    return Lines(
        'Calibration', dict(name='Mean score', **AXIS), dict(name=title, **AXIS), series,
        note=f'Expected calibration error {error:.3f}. Below the diagonal, scores promise too '
        'much.',
    )  # fmt: skip
