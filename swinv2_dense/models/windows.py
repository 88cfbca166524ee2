"""Where the windows of a map lie, for maps with any number of axes.

Legend: B batch, S... spatial axes, C channels, N tokens per window, nW windows in a batch. Maps
are channels-last, (B, S..., C). Windows and shifts count tokens.

A shifted map is neither rolled nor masked. Rolling wraps tokens around, so that the windows at the
border hold tokens from opposite sides of the map, which must not attend to each other. What does
attend is a set of rectangles, and each of them is one contiguous piece of the unrolled map. So a
shifted map is cut into ordinary windows and, along its borders, smaller ones. This is exact. The
official code adds -100 to the masked logits instead, which is not minus infinity for scaled cosine
logits: they span (-100, 116).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# A map of 8 x 8 tokens with windows of 4, shifted by 2:
#
#       2     4     2
#     +---+-------+---+
#   2 | D |   C   | D |     A: one whole window, 4 x 4 tokens
#     +---+-------+---+     B: one window after rolling, here two of 4 x 2
#     |   |       |   |     C: one window after rolling, here two of 2 x 4
#   4 | B |   A   | B |     D: one window after rolling, here four of 2 x 2
#     |   |       |   |
#     +---+-------+---+     Runs per axis: 1 window of 2, 1 of 4, 1 of 2. A wider map has more
#   2 | D |   C   | D |     windows in the middle run, and padding at its end in the last one.
#     +---+-------+---+


class WindowRun(NamedTuple):
    """`num_windows` windows of `window` tokens side by side along one axis, from token `start`."""

    start: int
    window: int
    num_windows: int

    @property
    def num_tokens(self) -> int:
        return self.window * self.num_windows


class AxisLayout(NamedTuple):
    """How one axis of a map is padded at its end and cut into runs."""

    pad: int
    runs: tuple[WindowRun, ...]


def axis_layout(size: int, window: int, shifted: bool) -> AxisLayout:
    """Lay windows over an axis of `size` tokens.

    An axis that fits into one window becomes that window, neither padded nor shifted. This is how
    stage 4 of the published weights was trained.
    """
    if size <= window:
        return AxisLayout(0, (WindowRun(0, size, 1),))
    count = (size + window - 1) // window
    pad = count * window - size
    shift = window // 2 if shifted else 0
    if shift == 0:
        return AxisLayout(pad, (WindowRun(0, window, count),))
    # The wrap-around would join the first and the last run into one window.
    first = WindowRun(0, shift, 1)
    middle = WindowRun(shift, window, count - 1)
    last = WindowRun(shift + middle.num_tokens, window - shift, 1)
    return AxisLayout(pad, (first, middle, last))


def axis_layouts(
    sizes: Sequence[int], window_size: Sequence[int], shifted: bool
) -> list[AxisLayout]:
    """Layout of every axis of a map."""
    return [axis_layout(size, window, shifted) for size, window in zip(sizes, window_size)]


def pad_map(x: Tensor, layouts: Sequence[AxisLayout]) -> Tensor:
    """Zero-pad a map (B, S..., C) to whole windows."""
    if not any(layout.pad for layout in layouts):
        return x
    return F.pad(x, [0, 0, *(p for layout in reversed(layouts) for p in (0, layout.pad))])


def crop_map(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Undo `pad_map`: keep the first `sizes` tokens of every axis."""
    for axis, size in enumerate(sizes, start=1):
        x = x.narrow(axis, 0, size)
    return x


def _windows(x: Tensor, window_size: Sequence[int]) -> Tensor:
    """(B, S..., C) -> (B, windows per axis..., window..., C), a view."""
    for axis, size in reversed(list(enumerate(window_size, start=1))):
        x = x.unflatten(axis, (x.shape[axis] // size, size))
    rank = len(window_size)
    order = [0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1]
    return x.permute(order)


def window_partition(x: Tensor, window_size: Sequence[int]) -> Tensor:
    """(B, S..., C) -> (nW, N, C); every axis of S... is a multiple of its window."""
    counts = [size // window for size, window in zip(x.shape[1:-1], window_size)]
    num_windows = x.shape[0] * math.prod(counts)
    return _windows(x, window_size).reshape(num_windows, math.prod(window_size), x.shape[-1])


def window_reverse(windows: Tensor, window_size: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """(nW, N, C) -> (B, S..., C). Inverse of `window_partition`."""
    counts = [s // w for s, w in zip(sizes, window_size)]
    batch, channels, rank = windows.shape[0] // math.prod(counts), windows.shape[-1], len(sizes)
    order = [0, *(a for i in range(rank) for a in (1 + i, 1 + rank + i)), 2 * rank + 1]
    x = windows.reshape(batch, *counts, *window_size, channels).permute(order)
    return x.reshape(batch, *sizes, channels)


def apply_per_run(
    fn: Callable[[Tensor, tuple[int, ...]], Tensor],
    x: Tensor,
    layouts: Sequence[AxisLayout],
    window_size: tuple[int, ...] = (),
) -> Tensor:
    """Apply `fn(part, window_size)` to every combination of runs and join the results."""
    axis = len(window_size)
    if axis == len(layouts):
        return fn(x, window_size)
    runs = layouts[axis].runs
    parts = [
        apply_per_run(fn, part, layouts, (*window_size, run.window))
        for run, part in zip(runs, x.split([run.num_tokens for run in runs], dim=1 + axis))
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1 + axis)


class Group(NamedTuple):
    """Windows of one size that are computed together: boxes of a map, as indices into it."""

    window_size: tuple[int, ...]
    boxes: list[tuple[slice, ...]]

    def read(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> the tokens of this group (nW, N, C), a copy or a view."""
        parts = [window_partition(x[box], self.window_size) for box in self.boxes]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def write(self, tokens: Tensor, x: Tensor) -> None:
        """Write tokens (nW, N, C) back to where `read` takes them from in a map (B, S..., C)."""
        start = 0
        for box in self.boxes:
            target = _windows(x[box], self.window_size)
            count = math.prod(target.shape[: 1 + len(self.window_size)])
            target.copy_(tokens[start : start + count].view(target.shape))
            start += count


def groups(batch: int, layouts: Sequence[AxisLayout], max_tokens: int) -> Iterator[Group]:
    """Cut a map into groups of at most `max_tokens` tokens, or of one window if that has more."""
    # Combinations of runs with equal windows (B left and right in the drawing) share groups.
    by_window: dict[tuple[int, ...], list[tuple[WindowRun, ...]]] = {}
    for runs in itertools.product(*(layout.runs for layout in layouts)):
        window_size = tuple(run.window for run in runs)
        boxes = _split((WindowRun(0, 1, batch), *runs), max_tokens)  # the batch is one more axis
        by_window.setdefault(window_size, []).extend(boxes)
    for window_size, found in by_window.items():
        together: list[tuple[slice, ...]] = []
        room = max_tokens
        for box in found:
            tokens = _num_tokens(box)
            if together and tokens > room:
                yield Group(window_size, together)
                together, room = [], max_tokens
            together.append(tuple(slice(r.start, r.start + r.num_tokens) for r in box))
            room -= tokens
        yield Group(window_size, together)


def _split(box: tuple[WindowRun, ...], max_tokens: int) -> Iterator[tuple[WindowRun, ...]]:
    """Cut a box of windows along its first axes into boxes of at most `max_tokens` tokens."""
    tokens = _num_tokens(box)
    axis = next((i for i, run in enumerate(box) if run.num_windows > 1), None)
    if tokens <= max_tokens or axis is None:
        yield box
        return
    run = box[axis]
    step = max(1, max_tokens * run.num_windows // tokens)
    for first in range(0, run.num_windows, step):
        count = min(step, run.num_windows - first)
        part = WindowRun(run.start + first * run.window, run.window, count)
        yield from _split((*box[:axis], part, *box[axis + 1 :]), max_tokens)


def _num_tokens(box: Iterable[WindowRun]) -> int:
    return math.prod(run.num_tokens for run in box)
