"""Recognized clips: frames side by side, below file name, ground truth and prediction.

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
WRONG = (200, 0, 0)  # text color of a wrong prediction


def evenly(count: int, most: int = FRAMES) -> np.ndarray:
    """Evenly spaced indices of at most `most` of `count` frames, including first and last."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def frames_of(inputs: Any) -> np.ndarray:
    """(T, H, W, 3) frames of a recognizer's input, from the middle view.

    Args:
        inputs: Tensor or array of views (N, C, T, H, W), one view (C, T, H, W), or frames
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
    """A picture of frames in rows, below lines of text.

    Args:
        frames: At least one, all of the same size.
        caption: Name of the file.
        truth: Names of the true classes; omitted if empty.
        prediction: Name of the predicted class, red if it is wrong; omitted if empty.
        score: Score of the prediction.
        columns: Frames per row.
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
    """A frame with lines of text in its upper left corner, on a darkened background.

    The text stays readable: small frames are enlarged by an integer factor, long lines wrapped.
    """
    factor = frame_factor(*frame.shape[:2])
    drawn = np.array(enlarged(frame, factor))
    text = _text(tuple(lines), *drawn.shape[:2])
    ground = drawn[: text.shape[0], : text.shape[1]]
    ground[:] = np.maximum(ground // 3, text[: len(ground), : ground.shape[1]])
    return drawn


def frame_factor(height: int, width: int) -> int:
    """Factor by which frames of a video are enlarged before text is drawn on them."""
    return max(1, 2 * SIDE // max(height, width))


@lru_cache(maxsize=1)  # all frames of a video have the same text
def _text(lines: tuple[str, ...], height: int, width: int) -> np.ndarray:
    """(h, w, 3): white lines on black."""
    size = font_size(height, width)
    pad = size // 3
    parts = [part for line in lines for part in wrapped(line, size, width - 2 * pad)]
    return block(parts, size, (255, 255, 255), (0, 0, 0), pad)
