"""Names and colors of classes as pictures show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .fonts import legible_names
from .palette import class_colors, default_colors


class Style:
    """Name and color of every label, also of labels beyond the classes: these show their number.

    Args:
        classes: Names, one for each class; None if they are not known.
        palette: As in `palette.class_colors`.
    """

    def __init__(self, classes: Sequence[str] | None = None, palette: Any = None) -> None:
        self.names = legible_names(tuple(map(str, classes or ())))
        self.colors = class_colors(len(self.names), palette)

    @classmethod
    def of(cls, metainfo: Mapping[str, Any] | None) -> Style:
        """From the `metainfo` or `dataset_meta` of OpenMMLab."""
        known = metainfo or {}
        classes = known.get('classes')
        return cls([classes] if isinstance(classes, str) else classes, known.get('palette'))

    def name(self, label: int) -> str:
        return self.names[label] if 0 <= label < len(self.names) else f'class {label}'

    def table(self, count: int) -> np.ndarray:
        """Colors (count, 3) uint8 of the labels from 0 on."""
        return np.vstack([self.colors, default_colors(count)[len(self.colors) :]])[:count]

    def color(self, label: int) -> tuple[int, int, int]:
        return tuple(self.table(label + 1)[label].tolist())
