"""Small pictures for tests of drawing."""

from __future__ import annotations

import numpy as np

GRAY = 128


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GRAY, np.uint8)


def has(picture: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool: where a picture has exactly this color."""
    return (picture == np.array(color)).all(axis=-1)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)
