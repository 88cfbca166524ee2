"""Distinguishable colors for any number of classes.

Distances are Euclidean in OKLab (Ottosson 2020), which is perceptually uniform: 0.02 is just
noticeable side by side, and black and white are 1 apart.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

JUST_NOTICEABLE = 0.02
DIFFERENT = 2048  # colors; more would be closer than JUST_NOTICEABLE
# From the list by S. Trubetskoy, in an order that keeps the first few far apart.
FIRST = (
    (230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 220, 230),
    (255, 225, 25), (240, 50, 230), (150, 85, 30), (0, 128, 128), (190, 240, 70), (250, 170, 190),
)  # fmt: skip
_LINEAR_TO_LMS = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_LMS_TO_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


def class_colors(count: int, given: Any = None) -> np.ndarray:
    """RGB colors (count, 3) uint8, one for each class.

    Args:
        count: Number of classes.
        given: The palette of a dataset: any nesting of lists, tuples or arrays. It is used if it
            has `count` rows of three numbers in 0..255; rows that look like an earlier row (ADE20K
            and COCO-Stuff have some) get other colors. Otherwise (None, a name such as 'coco', a
            palette inherited from a dataset with other classes, the random numbers of mmseg for a
            missing palette) the default colors are used, which depend on the class index only.
    """
    palette = as_palette(given, count)
    return default_colors(count) if palette is None else _distinct(palette)


def default_colors(count: int) -> np.ndarray:
    """The first `count` default colors, which repeat after `DIFFERENT`."""
    needed = 16
    while needed < min(count, DIFFERENT):
        needed *= 2
    colors = _spread(needed)
    return colors[np.arange(count) % len(colors)].copy()


def ink_on(color: Any) -> tuple[int, int, int]:
    """Black or white, whichever is readable on this RGB color."""
    return (0, 0, 0) if to_oklab(np.asarray(color))[0] > 0.68 else (255, 255, 255)


def to_oklab(colors: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) in 0..255 to OKLab (..., 3)."""
    srgb = np.asarray(colors, float) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _LINEAR_TO_LMS.T) @ _LMS_TO_LAB.T


def smallest_distance(colors: np.ndarray) -> float:
    """Smallest distance between two of the RGB colors (N, 3); infinite for fewer than two."""
    lab = to_oklab(colors)
    nearest = [np.linalg.norm(lab[i + 1 :] - lab[i], axis=1).min() for i in range(len(lab) - 1)]
    return min(nearest, default=np.inf)


def as_palette(given: Any, count: int) -> np.ndarray | None:
    """`given` as (count, 3) uint8 if it is a palette of `count` classes, else None."""
    if given is None or isinstance(given, str):
        return None
    try:
        rows = np.array([np.asarray(row, float) for row in given], float)
    except (TypeError, ValueError):
        return None
    if rows.shape != (count, 3) or not ((rows >= 0) & (rows <= 255)).all():
        return None
    palette = np.round(rows).astype(np.uint8)
    return None if np.array_equal(palette, _mmseg_random(count)) else palette


def _mmseg_random(count: int) -> np.ndarray:
    """The palette of `BaseSegDataset` for classes without one; some of its colors look alike."""
    return np.random.RandomState(42).randint(0, 255, size=(count, 3))


def _distinct(palette: np.ndarray) -> np.ndarray:
    """The palette, with new colors for rows that look like an earlier row."""
    lab = to_oklab(palette)
    repeats = [
        i
        for i in range(1, len(lab))
        if np.linalg.norm(lab[:i] - lab[i], axis=1).min() < JUST_NOTICEABLE
    ]
    if not repeats:
        return palette
    palette, others = palette.copy(), default_colors(2 * len(palette))
    free = np.delete(lab, repeats, axis=0)
    for i in repeats:
        gaps = [np.linalg.norm(free - color, axis=1).min() for color in to_oklab(others)]
        palette[i] = others[int(np.argmax(gaps))]
        free = np.vstack([free, to_oklab(palette[i])])
    return palette


@lru_cache(maxsize=8)
def _spread(count: int) -> np.ndarray:
    """`FIRST`, then greedily the candidate farthest from all before, so prefixes never change.

    Colors near black, white and gray are no candidates, because they are hard to see in photos.
    """
    steps = np.arange(0, 256, 15)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing='ij'), -1).reshape(-1, 3)
    lab = to_oklab(grid)
    keep = (lab[:, 0] > 0.4) & (lab[:, 0] < 0.93) & (np.hypot(lab[:, 1], lab[:, 2]) > 0.05)
    grid, lab = grid[keep], lab[keep]
    chosen = [np.array(color) for color in FIRST]
    distance = np.full(len(grid), np.inf)
    for color in to_oklab(np.array(chosen)):
        distance = np.minimum(distance, np.linalg.norm(lab - color, axis=1))
    while len(chosen) < count and distance.max() > 0:
        best = int(distance.argmax())
        chosen.append(grid[best])
        distance = np.minimum(distance, np.linalg.norm(lab - lab[best], axis=1))
    return np.array(chosen, np.uint8)
