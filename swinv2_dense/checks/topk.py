"""Top-k accuracies that say something."""

from __future__ import annotations

from collections.abc import Iterable


def informative_topk(topk: Iterable[int], num_classes: int) -> tuple[int, ...]:
    """The k below the number of classes, since others always give 1.0; top-1 if none is."""
    return tuple(k for k in topk if k < num_classes) or (1,)
