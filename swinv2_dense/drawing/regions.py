"""Draws label maps on an image: pixels in the color of their class, and a legend.

Label maps are (H, W) integers. Ignored pixels are shown with gray stripes: those with negative
labels and, beyond the classes, 255 (the ignore index) and labels from MOST_CLASSES on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from .objects import draw_labels
from .sheet import GROUND, INK, enlarged, enlargement, sheet
from .style import Style
from .text import font_size, render, stamp

ALPHA = 0.6  # opacity of the colors
IGNORE_INDEX = 255
MOST_CLASSES = 4096  # labels from here on are ignored, unless they have names
STRIPE = 6  # pixels
BAND = 1 << 20  # pixels drawn at a time
SKETCH = 256  # pixels: longest side of the reduced map used to place names
WORTH_A_NAME = 0.004  # share of all pixels


def segmentation_sheet(
    image: np.ndarray,
    panels: Mapping[str, np.ndarray],
    style: Style,
    caption: str = '',
    alpha: float = ALPHA,
    with_image: bool = False,
) -> np.ndarray:
    """A picture with a panel per label map, such as truth and prediction, and a legend.

    The legend lists the classes in the maps with their share of the pixels, the largest first.

    Args:
        image: RGB (H, W, 3) uint8.
        panels: Label maps by title.
        style: Names and colors.
        caption: Text above the panels.
        alpha: Opacity of the colors.
        with_image: Show the image alone in a first panel.
    """
    height, width = image.shape[:2]
    factor = enlargement(height, width)
    size = font_size(height * factor, width * factor)
    legend = _legend(panels, style, size, height * factor)
    titles = ['image', *panels] if with_image else list(panels)
    picture, views = sheet(image, titles, caption, factor, legend)
    for labels, view in zip(panels.values(), views[with_image:]):
        tint_labels(view, labels, style, factor, alpha)
    return picture


def tint_labels(
    picture: np.ndarray, labels: np.ndarray, style: Style, factor: int = 1, alpha: float = ALPHA
) -> None:
    """Color an RGB picture (factor * H, factor * W, 3) by class, in place.

    The lightness of the picture shows through. Works on a few rows at a time to save memory.
    """
    weight = round(256 * alpha)
    count = _count(labels, style)
    inks = np.vstack([style.table(count), [[0, 0, 0]]]).astype(np.uint16) * weight + 128
    for start, part in _bands(labels):
        places, start = enlarged(_places(part, count, style), factor), start * factor
        window = picture[start : start + len(places)]
        # Gray, because the colors of the image would change those of the classes.
        lightness = cv2.cvtColor(np.ascontiguousarray(window), cv2.COLOR_RGB2GRAY)
        mixed = (lightness[..., None].astype(np.uint16) * (256 - weight) + inks[places]) >> 8
        is_ignored = places == count
        if is_ignored.any():
            mixed = np.where(is_ignored[..., None], _striped(window, start), mixed)
        window[:] = mixed


def label_regions(picture: np.ndarray, labels: np.ndarray, style: Style) -> None:
    """Write the name of each class on its largest region, in place, unless that is tiny.

    For frames of videos, which have no room for a legend because all must have the same size.
    """
    step = max(1, max(labels.shape) // SKETCH)
    sketch = labels[::step, ::step]
    scale = picture.shape[0] / sketch.shape[0], picture.shape[1] / sketch.shape[1]
    found = []
    for label in np.unique(sketch[~_ignored(sketch, style)]).tolist():
        mask = (sketch == label).astype(np.uint8)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        best = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        area = int(stats[best, cv2.CC_STAT_AREA])
        if area < WORTH_A_NAME * sketch.size:
            continue
        inside = np.pad((parts == best).astype(np.uint8), 1)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        y, x = (y + 0.5) * scale[0], (x + 0.5) * scale[1]
        found.append((area, ((x, y, x, y), style.name(label), style.color(label))))
    found.sort(key=lambda entry: -entry[0])
    size = font_size(*picture.shape[:2])
    draw_labels(picture, [label for _, label in found], size, centered=True)


def _bands(labels: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Bands of about `BAND` pixels of a map: index of the first row, and the rows."""
    rows = max(1, BAND // max(1, labels.shape[1]))
    for start in range(0, len(labels), rows):
        yield start, labels[start : start + rows]


def _count(labels: np.ndarray, style: Style) -> int:
    """Number of labels, 0 to the highest in a map or in the style."""
    highest = max((int(part[~_ignored(part, style)].max(initial=-1)) for _, part in _bands(labels)),
                  default=-1)  # fmt: skip
    return max(len(style.names), highest + 1)


def _places(labels: np.ndarray, count: int, style: Style) -> np.ndarray:
    """Labels as indices, with `count` for ignored pixels."""
    return np.where(_ignored(labels, style), count, labels).astype(np.intp)


def _ignored(labels: np.ndarray, style: Style) -> np.ndarray:
    beyond = labels >= len(style.names)
    return (labels < 0) | beyond & ((labels == IGNORE_INDEX) | (labels >= MOST_CLASSES))


def _striped(window: np.ndarray, start: int) -> np.ndarray:
    """A darkened image with diagonal stripes; its row 0 is row `start` of the picture."""
    y, x = np.ogrid[start : start + window.shape[0], : window.shape[1]]
    return window // 3 + ((y + x) // STRIPE % 2 * 50 + 60).astype(np.uint8)[..., None]


def _shares(labels: np.ndarray, style: Style) -> dict[int | None, float]:
    """Share of all pixels by label; None stands for ignored pixels."""
    count = _count(labels, style)
    pixels = np.zeros(count + 1, int)
    for _, part in _bands(labels):
        pixels += np.bincount(_places(part, count, style).ravel(), minlength=count + 1)
    found = {int(label): pixels[label] / labels.size for label in np.flatnonzero(pixels)}
    return {None if label == count else label: share for label, share in found.items()}


def _legend(panels: Mapping[str, np.ndarray], style: Style, size: int, height: int) -> np.ndarray:
    """(h, w, 3) table of color, name and percentage per panel, about `height` pixels high."""
    shares = {title: _shares(labels, style) for title, labels in panels.items()}
    total: dict[int | None, float] = {}
    for part in shares.values():
        for label, share in part.items():
            total[label] = total.get(label, 0) + share
    order = sorted(total, key=lambda label: (label is None, -total[label]))
    line = round(1.5 * size)
    lines = max(8, height // line - 1)
    shown = order if len(order) <= lines else order[: lines - 1]
    names = ['ignored' if label is None else style.name(label) for label in shown]
    if len(shown) < len(order):
        names.append(f'and {len(order) - len(shown)} more')
    first = round(1.8 * line) + max((render(name, size).shape[1] for name in names), default=0)
    columns = [max(render(text, size).shape[1] for text in (t, '100.0 %')) + line for t in shares]
    ends = first + np.cumsum(columns)
    legend = np.empty(((len(names) + 1) * line, int(ends[-1]), 3), np.uint8)
    legend[:] = GROUND

    def write(text: str, x: int, row: int, is_right: bool) -> None:
        mask = render(text, size)
        y = row * line + (line - mask.shape[0]) // 2
        stamp(legend, mask, x - mask.shape[1] if is_right else x, y, INK)

    for end, title in zip(ends.tolist(), shares):
        write(title, end - line // 3, 0, is_right=True)
    edge = max(1, line // 12)
    for row, name in enumerate(names, start=1):
        write(name, round(1.3 * line), row, is_right=False)
        if row > len(shown):
            continue
        label = shown[row - 1]
        swatch = legend[row * line + 2 * edge : (row + 1) * line - 2 * edge, : line - 2 * edge]
        swatch[:] = INK
        inner = swatch[edge:-edge, edge:-edge]
        inner[:] = 90 if label is None else style.color(label)
        if label is None:
            inner[:] = _striped(inner, 0)
        for end, part in zip(ends.tolist(), shares.values()):
            text = f'{100 * part[label]:.1f} %' if label in part else '-'
            write(text, end - line // 3, row, is_right=True)
    return legend
