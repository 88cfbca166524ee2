"""Renders text and places labels. Pictures are (H, W, 3) uint8 RGB and modified in place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from .fonts import load, runs

SMALLEST = 14  # pixels: smallest readable font size
_PARTS = 48  # mean side of a picture, in font sizes


def font_size(height: int, width: int) -> int:
    """Font size in pixels, proportional to the size of the picture."""
    wanted = round((height * width) ** 0.5 / _PARTS)
    return max(SMALLEST, min(wanted, min(height, width) // 8))


def line_width(size: int) -> int:
    """Line width of boxes, for a font of this size."""
    return max(2, size // 8)


@lru_cache(maxsize=2048)
def render(text: str, size: int) -> np.ndarray:
    """(h, w) uint8: coverage of each pixel by a line of text, none of it cut off."""
    parts = [(load(path, size), part) for path, part in runs(text)]
    boxes = [font.getbbox(part, anchor='ls') for font, part in parts]
    above = max([round(0.95 * size), *(-box[1] for box in boxes)])
    below = max([round(0.3 * size), *(box[3] for box in boxes)])
    left = max([0, *(-box[0] for box in boxes[:1])])
    ends = np.cumsum([left, *(font.getlength(part) for font, part in parts)])
    over = boxes[-1][2] - parts[-1][0].getlength(parts[-1][1]) if parts else 0
    width = max(1, int(np.ceil(ends[-1] + max(0, over))))
    canvas = Image.new('L', (width, int(np.ceil(above + below))))
    pen = ImageDraw.Draw(canvas)
    for x, (font, part) in zip(ends, parts):
        pen.text((float(x), above), part, 255, font, anchor='ls')
    mask = np.asarray(canvas)
    mask.flags.writeable = False
    return mask


def block(lines: Sequence[str], size: int, ink: Any, ground: Any, pad: int = 0) -> np.ndarray:
    """(h, w, 3) uint8: lines of text on a background color, with `pad` pixels around."""
    masks = [render(line, size) for line in lines]
    height, width = sum(len(mask) for mask in masks), max(mask.shape[1] for mask in masks)
    picture = np.empty((height + 2 * pad, width + 2 * pad, 3), np.uint8)
    picture[:] = ground
    y = pad
    for mask in masks:
        stamp(picture, mask, pad, y, ink)
        y += len(mask)
    return picture


def stamp(picture: np.ndarray, mask: np.ndarray, x: int, y: int, color: Any) -> None:
    """Draw a mask of `render` in a color, clipped to the picture."""
    height, width = picture.shape[:2]
    mask = mask[max(0, -y) : max(0, height - y), max(0, -x) : max(0, width - x)]
    y, x = max(0, y), max(0, x)
    below = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
    weight = mask[..., None].astype(np.uint16)
    mixed = below * (255 - weight) + np.asarray(color, np.uint16) * weight
    below[:] = (mixed + 127) // 255


def paste(picture: np.ndarray, patch: np.ndarray, x: int, y: int) -> None:
    """Copy a block into a picture at non-negative x, y, clipped to the picture."""
    height, width = picture.shape[:2]
    patch = patch[: max(0, height - y), : max(0, width - x)]
    picture[y : y + patch.shape[0], x : x + patch.shape[1]] = patch


def wrapped(text: str, size: int, width: int) -> list[str]:
    """A text in lines of at most `width` pixels, broken at spaces or, if necessary, in words."""
    lines = ['']
    for word in text.split(' '):
        longer = f'{lines[-1]} {word}' if lines[-1] else word
        if _length(longer, size) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append('')
        for char in word:
            if lines[-1] and _length(lines[-1] + char, size) > width:
                lines.append('')
            lines[-1] += char
    return lines


def _length(text: str, size: int) -> int:
    return render(text, size).shape[1]


class LabelPlacer:
    """Places labels in a picture, with little overlap."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.taken = np.empty((0, 4))

    def place(
        self, box: Sequence[float], size: tuple[int, int], centered: bool = False
    ) -> tuple[int, int]:
        """x, y of a label of `size` (h, w) for a box (x1, y1, x2, y2), preferably above it."""
        (x1, y1, x2, y2), (h, w) = box, size
        middle = ((x1 + x2 - w) / 2, (y1 + y2 - h) / 2)
        spots = [(x1, y1 - h), (x2 - w, y1 - h), (x1, y2), (x2 - w, y2), (x1, y1), (x2 - w, y1)]
        spots += [(x1, y2 - h), (x2 - w, y2 - h), middle]
        spots += [(x1, y1 - k * h) for k in (2, 3)] + [(x1, y1 + k * h) for k in (1, 2)]
        wanted = np.array([middle, *spots] if centered else spots)
        limit = np.maximum([self.width - w, self.height - h], 0)
        inside = np.clip(wanted, 0, limit)
        moved = np.abs(wanted - inside).sum(axis=1) / (w + h)
        cost = 5 * self._overlap(inside, h, w) + 0.3 * moved + 0.02 * np.arange(len(wanted))
        x, y = inside[int(np.argmin(cost))].round().astype(int).tolist()
        self.taken = np.vstack([self.taken, [x, y, x + w, y + h]])
        return x, y

    def _overlap(self, spots: np.ndarray, h: int, w: int) -> np.ndarray:
        """Share of the label at each spot that is covered by placed labels, summed."""
        ends = spots + [w, h]
        low = np.maximum(spots[:, None], self.taken[None, :, :2])
        high = np.minimum(ends[:, None], self.taken[None, :, 2:])
        return np.clip(high - low, 0, None).prod(axis=2).sum(axis=1) / (h * w)
