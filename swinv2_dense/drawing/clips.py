"""Recognized clips: frames side by side below their name, truth and prediction.

Frames are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .fonts import printable
from .sheet import GAP, GROUND, INK, enlarged
from .text import SMALLEST, block, font_size, paste, wrapped

FRAMES = 8  # of a clip, at most
SIDE = 192  # pixels; smaller frames are enlarged to at least half of it
WRONG = (200, 0, 0)  # ink of a prediction that is not the truth


def evenly(count: int, most: int = FRAMES) -> np.ndarray:
    """Indices of at most `most` of `count` frames, the first and the last among them."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def frames_of(inputs: Any) -> np.ndarray:
    """(T, H, W, 3) frames of what a recognizer gets of a sample, from the view in the middle.

    Args:
        inputs: Tensor or array of views (N, C, T, H, W), of one (C, T, H, W), or of frames
            (T, C, H, W).
    """
    pixels = np.asarray(inputs)
    if pixels.ndim == 5:
        pixels = pixels[len(pixels) // 2].swapaxes(0, 1)
    elif pixels.shape[1] not in (1, 3) and pixels.shape[0] in (1, 3):
        pixels = pixels.swapaxes(0, 1)
    return np.moveaxis(pixels, 1, -1)


def clip_sheet(
    frames: Sequence[np.ndarray],
    caption: str,
    truth: Sequence[str] = (),
    prediction: str = '',
    score: float | None = None,
    columns: int = FRAMES,
) -> np.ndarray:
    """A picture of frames in one row, or more if there are many, and lines of text above them.

    Args:
        frames: At least one, all of one size.
        caption: The name of the file.
        truth: Names of the classes; without any there is no such line.
        prediction: Name of the class, red if it is not in the truth; '' for none.
        score: Of the prediction.
        columns: Frames in a row.
    """
    height, width = frames[0].shape[:2]
    factor = max(1, SIDE // max(height, width))
    height, width = height * factor, width * factor
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    size = max(SMALLEST, round(1.3 * font_size(height, width)))
    total = max(columns * (width + GAP) - GAP, 20 * size)  # at least a few words
    lines = [(printable(caption), INK)]
    if truth:
        lines.append((f'truth: {", ".join(truth)}', INK))
    if prediction:
        shown = '' if score is None else f' {score:.2f}'
        is_right = not truth or prediction in truth
        lines.append((f'prediction: {prediction}{shown}', INK if is_right else WRONG))
    head = [
        block(wrapped(text, size, total - size), size, ink, GROUND) for text, ink in lines if text
    ]
    above = sum(len(part) for part in head) + size // 3
    picture = np.empty((above + rows * (height + GAP) - GAP, total, 3), np.uint8)
    picture[:] = GROUND
    y = 0
    for part in head:
        paste(picture, part, size // 3, y)
        y += len(part)
    for index, frame in enumerate(frames):
        row, column = divmod(index, columns)
        y, x = above + row * (height + GAP), column * (width + GAP)
        paste(picture, enlarged(frame, factor), x, y)
    return picture


def labelled(frame: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """A frame with lines of text in its upper left corner, on a darkened ground.

    The letters are readable: a small frame is enlarged by a whole factor, long lines are wrapped.
    """
    factor = frame_factor(*frame.shape[:2])
    drawn = np.array(enlarged(frame, factor))
    text = _text(tuple(lines), *drawn.shape[:2])
    ground = drawn[: text.shape[0], : text.shape[1]]
    ground[:] = np.maximum(ground // 3, text[: len(ground), : ground.shape[1]])
    return drawn


def frame_factor(height: int, width: int) -> int:
    """Factor by which frames of a video are enlarged before letters are drawn on them."""
    return max(1, 2 * SIDE // max(height, width))


@lru_cache(maxsize=1)  # all frames of a video have the same
def _text(lines: tuple[str, ...], height: int, width: int) -> np.ndarray:
    """(h, w, 3): lines in white on black."""
    size = font_size(height, width)
    pad = size // 3
    parts = [part for line in lines for part in wrapped(line, size, width - 2 * pad)]
    return block(parts, size, (255, 255, 255), (0, 0, 0), pad)
