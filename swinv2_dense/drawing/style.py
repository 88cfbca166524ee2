"""Names and colors of classes in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .fonts import legible_names
from .palette import class_colors, default_colors


class Style:
    """Name and color of every label; labels beyond the classes are named by their number.

    Args:
        classes: Class names, if known.
        palette: See `palette.class_colors`.
    """

    def __init__(self, classes: Sequence[str] | None = None, palette: Any = None) -> None:
        self.names = legible_names(tuple(map(str, classes or ())))
        self.colors = class_colors(len(self.names), palette)

    @classmethod
    def of(cls, metainfo: Mapping[str, Any] | None) -> Style:
        """From a dataset's `metainfo` or a model's `dataset_meta`."""
        known = metainfo or {}
        classes = known.get('classes')
        return cls([classes] if isinstance(classes, str) else classes, known.get('palette'))

    def name(self, label: int) -> str:
        return self.names[label] if 0 <= label < len(self.names) else f'class {label}'

    def table(self, count: int) -> np.ndarray:
        """Colors (count, 3) uint8 of the labels 0 to count - 1."""
        return np.vstack([self.colors, default_colors(count)[len(self.colors) :]])[:count]

    def color(self, label: int) -> tuple[int, int, int]:
        return tuple(self.table(label + 1)[label].tolist())
