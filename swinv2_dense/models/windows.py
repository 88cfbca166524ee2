"""Where the windows of a map lie, for maps with any number of axes.

Legend: B batch, S... spatial axes, C channels, N tokens per window, nW windows of a batch. Maps
are channels-last, (B, S..., C). Windows and shifts count tokens.

A shifted map is neither rolled nor masked. A window cut by the wrap-around consists of rectangles
whose tokens attend only within themselves, and each lies in one piece at the map's border, so a
shifted map is ordinary windows and, along its borders, smaller ones. That is exact, where the
official code adds -100 to the logits of cut pairs: scaled cosine logits span (-100, 116), so -100
is not minus infinity for them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Run(NamedTuple):
    """`count` windows of `window` tokens side by side along one axis, from token `start` on."""

    start: int
    window: int
    count: int


class AxisLayout(NamedTuple):
    """How one axis of a map is padded (at its end) and cut into runs; `shift` is the first cut."""

    pad: int
    shift: int
    runs: tuple[Run, ...]


def axis_layout(size: int, window: int, shifted: bool) -> AxisLayout:
    """Lay windows over an axis of `size` tokens.

    An axis that fits into one window is that window: it is neither padded nor shifted, which is
    how the published weights were trained in stage 4.
    """
    if size <= window:
        return AxisLayout(0, 0, (Run(0, size, 1),))
    count = (size + window - 1) // window
    pad = count * window - size
    shift = window // 2 if shifted else 0
    if shift == 0:
        return AxisLayout(pad, 0, (Run(0, window, count),))
    end = count * window - (window - shift)  # where the last window, cut in two, has its first part
    runs = (Run(0, shift, 1), Run(shift, window, count - 1), Run(end, window - shift, 1))
    return AxisLayout(pad, shift, runs)


def axis_layouts(
    sizes: Sequence[int], window_size: Sequence[int], shifted: bool
) -> list[AxisLayout]:
    """Layout of every axis of a map."""
    return [axis_layout(size, window, shifted) for size, window in zip(sizes, window_size)]


def padded(x: Tensor, layouts: Sequence[AxisLayout]) -> Tensor:
    """Continue a map (B, S..., C) by zeros to whole windows."""
    if not any(layout.pad for layout in layouts):
        return x
    return F.pad(x, [0, 0, *(p for layout in reversed(layouts) for p in (0, layout.pad))])


def cropped(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Undo `padded`: the first `sizes` tokens of every axis."""
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


def map_runs(
    fn: Callable[[Tensor, tuple[int, ...]], Tensor],
    x: Tensor,
    layouts: Sequence[AxisLayout],
    window_size: tuple[int, ...] = (),
) -> Tensor:
    """Apply `fn(part, window_size)` to every combination of runs of a map and put it together."""
    axis = len(window_size)
    if axis == len(layouts):
        return fn(x, window_size)
    runs = layouts[axis].runs
    parts = [
        map_runs(fn, part, layouts, (*window_size, run.window))
        for run, part in zip(runs, x.split([r.window * r.count for r in runs], dim=1 + axis))
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
        """Put tokens (nW, N, C) into their places of the map (B, S..., C)."""
        start = 0
        for box in self.boxes:
            target = _windows(x[box], self.window_size)
            count = math.prod(target.shape[: 1 + len(self.window_size)])
            target.copy_(tokens[start : start + count].view(target.shape))
            start += count


def groups(batch: int, layouts: Sequence[AxisLayout], max_tokens: int) -> Iterator[Group]:
    """Cut a map into groups of at most `max_tokens` tokens, or one window if that has more."""
    by_window: dict[tuple[int, ...], list[tuple[Run, ...]]] = {}
    for runs in itertools.product(*(layout.runs for layout in layouts)):
        window_size = tuple(run.window for run in runs)
        boxes = _split((Run(0, 1, batch), *runs), max_tokens)
        by_window.setdefault(window_size, []).extend(boxes)
    for window_size, boxes in by_window.items():
        together: list[tuple[slice, ...]] = []
        room = max_tokens
        for box in boxes:
            tokens = math.prod(run.window * run.count for run in box)
            if together and tokens > room:
                yield Group(window_size, together)
                together, room = [], max_tokens
            together.append(tuple(slice(r.start, r.start + r.window * r.count) for r in box))
            room -= tokens
        yield Group(window_size, together)


def _split(box: tuple[Run, ...], max_tokens: int) -> Iterator[tuple[Run, ...]]:
    """Cut a box of windows along its first axes into boxes of at most `max_tokens` tokens."""
    tokens = math.prod(run.window * run.count for run in box)
    axis = next((i for i, run in enumerate(box) if run.count > 1), None)
    if tokens <= max_tokens or axis is None:
        yield box
        return
    run = box[axis]
    step = max(1, max_tokens * run.count // tokens)
    for first in range(0, run.count, step):
        part = Run(run.start + first * run.window, run.window, min(step, run.count - first))
        yield from _split((*box[:axis], part, *box[axis + 1 :]), max_tokens)
