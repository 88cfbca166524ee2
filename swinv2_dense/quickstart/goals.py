"""Parameters of the generated datasets, and the metrics that the examples have to reach.

Without heavy imports, because the help of the commands shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class ShapesSpec:
    """Parameters of a dataset; equal specs give equal files."""

    seed: int = 0
    size: int = 128
    train: int = 1600
    val: int = 120


@dataclass(frozen=True)
class SurfacesSpec:
    """Parameters of a dataset; equal specs give equal files."""

    seed: int = 0
    size: int = 128
    train: int = 800
    val: int = 80


@dataclass(frozen=True)
class SmallSurfacesSpec(SurfacesSpec):
    """Surfaces for pre-training and for learning from few labels."""

    size: int = 64
    train: int = 400
    val: int = 60


@dataclass(frozen=True)
class MotionsSpec:
    """Parameters of a dataset; equal specs give equal files."""

    seed: int = 0
    size: int = 64
    frames: int = 16
    train: int = 2400
    val: int = 240


class Goal(NamedTuple):
    """Data of an example, and the metric to reach on unseen samples."""

    spec: type
    metric: str
    target: float


GOALS = {
    'detection': Goal(ShapesSpec, 'box and mask AP50', 0.6),
    'segmentation': Goal(SurfacesSpec, 'mIoU', 0.7),
    'video': Goal(MotionsSpec, 'top-1, forwards and backwards', 0.9),
    'pretraining': Goal(SmallSurfacesSpec, 'mIoU after pre-training', 0.8),
}
DEFAULT_TASKS = ('detection', 'segmentation', 'video')  # of the quickstart
