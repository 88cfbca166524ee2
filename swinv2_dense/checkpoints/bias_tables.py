"""Move tables of position biases (Swin Transformer V1) from one window to another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CheckpointError

KEY = 'attn.relative_position_bias_table.weight'


def window_of(table: Tensor, rank: int, like: Sequence[int] | None = None) -> tuple[int, ...]:
    """The window (tokens, one per axis) of a table (offsets, nH).

    Its height equals its width. In three axes, the number of offsets can fit several windows;
    then it is the one with the depth, or else the height, of the window `like`.

    Raises:
        ValueError: The number of offsets fits no window.
    """
    rows = table.shape[0]
    if rank == 2:
        depths = [1]
    elif like is not None:
        side = (2 * like[-1] - 1) ** 2
        depths = [2 * like[0] - 1, rows // side if rows % side == 0 else 0]
    else:  # those of Video Swin
        depths = [2 * depth - 1 for depth in (8, 16)]
    for depth in depths:
        side = math.isqrt(rows // depth) if depth > 0 else 0
        if depth % 2 and side % 2 and depth * side**2 == rows:
            window = ((side + 1) // 2,) * 2
            return window if rank == 2 else ((depth + 1) // 2, *window)
    raise ValueError(f'{rows} offsets are not those of a window')


def fit_table(table: Tensor, window_size: Sequence[int], name: str) -> Tensor:
    """A table (offsets, nH), interpolated to a window if it belongs to another one.

    Args:
        table: As in a checkpoint.
        window_size: Tokens, one per axis.
        name: Its name, for messages.

    Raises:
        CheckpointError: The number of offsets fits no window, so it cannot be interpolated.
    """
    offsets = math.prod(2 * size - 1 for size in window_size)
    if table.dim() != 2 or table.shape[0] == offsets:
        return table
    try:
        source = window_of(table, len(window_size), window_size)
    except ValueError as error:
        raise CheckpointError(
            f'{name} of shape {tuple(table.shape)} cannot be interpolated to the window '
            f'{tuple(window_size)} of the model: {error} with equal height and width; set '
            'window_size of the backbone to that of the checkpoint'
        ) from error
    return resize_table(table, source, window_size)


def resize_table(table: Tensor, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Interpolate a table (offsets, nH) of one window to another.

    Height and width are interpolated bicubically, as in the official code and the first row of
    Table 1. Depth is interpolated linearly; no source says how.
    """
    before, after = ([2 * size - 1 for size in window] for window in (source, target))
    values = table.to(torch.promote_types(table.dtype, torch.float32))
    values = values.unflatten(0, before).movedim(-1, 0)  # (nH, [depth,] height, width)
    depth = values.shape[1:-2]
    values = values.reshape(-1, 1, *before[-2:])
    values = F.interpolate(values, size=after[-2:], mode='bicubic')
    values = values.view(-1, *depth, *after[-2:])
    if depth and before[0] != after[0]:
        columns = values.flatten(2).transpose(1, 2)  # (nH, height * width, depth)
        columns = F.interpolate(columns, size=after[0], mode='linear')
        values = columns.transpose(1, 2).unflatten(2, after[-2:])
    return values.movedim(0, -1).flatten(0, -2).to(table.dtype).contiguous()


def inflate_table(table: Tensor, depth: int) -> Tensor:
    """The table of an image window for a video window of `depth`, as in Video Swin.

    It ignores temporal offsets: all have the biases of the image.
    """
    return table.repeat(2 * depth - 1, 1)


def table_windows(state: Mapping[str, Tensor], rank: int) -> list[tuple[int, ...]] | None:
    """Windows per stage of the tables in a state with our names; None if it has none.

    A table that fits no window has the window 0; `fit_table` explains it where it matters.
    """
    stages = sorted({int(k.split('.')[1]) for k in state if k.endswith(KEY)})
    windows = []
    for stage in stages:
        table = state.get(f'layers.{stage}.blocks.0.{KEY}')
        try:
            windows.append((0,) * rank if table is None else window_of(table, rank))
        except ValueError:
            windows.append((0,) * rank)
    return windows or None


def fit_tables(state: dict[str, Tensor], windows: Sequence[Sequence[int]], source: str) -> int:
    """Interpolate the tables of the checkpoint `source` to a window per stage, in place.

    Returns:
        How many were changed.

    Raises:
        CheckpointError: See `fit_table`.
    """
    changed = 0
    for key, value in state.items():
        stage = int(key.split('.')[1]) if key.endswith(KEY) else len(windows)
        if stage < len(windows):  # later stages are not built
            state[key] = fit_table(value, windows[stage], f'{key} of {source}')
            changed += state[key] is not value
    return changed
