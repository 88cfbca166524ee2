"""What the quickstart's data are made from, and what its models have to reach.

Without heavy imports, as the help of the commands shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class ShapesSpec:
    """What a data set is made from; equal specs give equal files."""

    seed: int = 0
    size: int = 128
    train: int = 1600
    val: int = 120


@dataclass(frozen=True)
class SurfacesSpec:
    """What a data set is made from; equal specs give equal files."""

    seed: int = 0
    size: int = 128
    train: int = 800
    val: int = 80


@dataclass(frozen=True)
class MotionsSpec:
    """What a data set is made from; equal specs give equal files."""

    seed: int = 0
    size: int = 64
    frames: int = 16
    train: int = 2400
    val: int = 240


class Task(NamedTuple):
    """Data of a task, and the metric to reach on samples that the model has not seen."""

    spec: type
    metric: str
    target: float


TASKS = {
    'detection': Task(ShapesSpec, 'box and mask AP50', 0.6),
    'segmentation': Task(SurfacesSpec, 'mIoU', 0.7),
    'video': Task(MotionsSpec, 'top-1, forwards and backwards', 0.9),
}
