"""The best classes of a prediction, and which top-k accuracies say something."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TOP = 5  # classes that predictions list


def informative_topk(topk: Iterable[int], num_classes: int) -> tuple[int, ...]:
    """The k below the number of classes, since others always give 1.0; top-1 if none is."""
    return tuple(k for k in topk if k < num_classes) or (1,)


def top_classes(scores: Any) -> list[tuple[int, float]]:
    """Label and score of the best classes of a tensor of scores (N,), best first."""
    values, labels = scores.topk(min(TOP, len(scores)))
    return list(zip(labels.tolist(), values.tolist()))
