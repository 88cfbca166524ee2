"""Move tables of position biases (Swin Transformer V1) from one window to another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CheckpointError

KEY = 'attn.relative_position_bias_table.weight'


DEPTHS = (8, 16)  # of the windows of Video Swin


def window_of(table: Tensor, rank: int, like: Sequence[int] | None = None) -> tuple[int, ...]:
    """The window (tokens, one per axis) of a table (offsets, nH).

    Its height equals its width. In three axes, the number of offsets can fit several windows: that
    with the depth of the window `like` is preferred, then one with its height, then `DEPTHS`.

    Raises:
        ValueError: The number of offsets fits no window.
    """
    rows, like = len(table), tuple(like or (0,) * rank)
    sides = [side for side in range(1, math.isqrt(rows) + 1, 2) if rows % side**2 == 0]
    found = [(rows // side**2 + 1) // 2 for side in sides]  # depths
    windows = [(depth, *[(side + 1) // 2] * 2) for depth, side in zip(found, sides)]
    if rank == 2:
        windows = [window for window in windows if window[0] == 1]
        choices = [window[1:] for window in windows]
    else:
        choices = [w for w in windows if w[0] in (like[0], *DEPTHS) or w[1:] == like[1:]]
    if rows % 2 == 0 or not choices:
        raise ValueError(f'{rows} offsets are not those of a window with equal height and width')
    return max(choices, key=lambda w: (w[0] == like[0], w[1:] == like[1:], w))


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
            f'{tuple(window_size)} of the model: {error}; set '
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


def table_windows(
    state: Mapping[str, Tensor], rank: int, like: Sequence[Sequence[int]] | None = None
) -> list[tuple[int, ...]] | None:
    """Windows per stage of the tables in a state with our names; None if they are unknown.

    `like` are the windows of a model, see `window_of`.
    """
    stages = sorted({int(k.split('.')[1]) for k in state if k.endswith(KEY)})
    try:
        return [
            window_of(
                state[f'layers.{stage}.blocks.0.{KEY}'],
                rank,
                like[stage] if like and stage < len(like) else None,
            )
            for stage in stages
        ] or None
    except (KeyError, TypeError, ValueError):  # incomplete, or nothing that has a window
        return None


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
