"""The position bias of a tile of queries, read from a table of offsets.

A table holds one bias per head and offset, (nH, 2w-1, ...). The bias of all token pairs, (nH, N,
N), is many times larger: the same offsets occur over and over. Tiles of it are cut out when they
are needed, by way of `bias_lines`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .tile_sizes import WHOLE_BIAS, tile_numel

# One axis, w = 3. The table holds the offsets q - k of query q and key k, from -2 to 2. Unfolded
# and flipped, row q of it holds the bias against every key:
#
#   table      a  b  c  d  e            lines   k=0  1  2
#   q - k     -2 -1  0 +1 +2              q=0    c  b  a
#                                           1    d  c  b
#                                           2    e  d  c
#
# Two axes, (h, w) = (3, w). A "line" is a row of w queries. Entry j along the rows of `lines`, here
# one cell for w x w pairs of columns, holds the bias at row offset y - y' = h - 1 - j, so the keys'
# rows y' come in ascending order. The bias of line y against all keys is h entries from h - 1 - y:
#
#   j          0  1  2  3  4
#   y - y'    +2 +1  0 -1 -2
#   line y=0        [.  .  .]           y' = 0  1  2
#        y=1     [.  .  .]
#        y=2  [.  .  .]
#
# A tile is the bias of some consecutive lines.


def gather_bias(table: Tensor, window_size: Sequence[int]) -> Tensor:
    """Bias of every token pair of a window from the bias of every offset.

    (nH, O...) -> (nH, N, N), where axis i of the table holds the offsets -(w-1)..(w-1) of a
    window w at least as large as `window_size[i]`. Element (q, k) is the bias of offset q - k.
    """
    lines = bias_lines(table, window_size)
    return next(iter(bias_tiles(lines, window_size, math.prod(window_size))))[1]


def unfold_bias(table: Tensor, window_size: Sequence[int]) -> Tensor:
    """`gather_bias` in a few operators, for exported graphs: not one per line of queries.

    Gradients are summed in another order.
    """
    bias, rank = crop_table(table, window_size), len(window_size)
    for axis, size in enumerate(window_size, start=1):
        bias = bias.unfold(axis, size, 1)  # [q, j]: offset q - (w - 1 - j)
    num_tokens = math.prod(window_size)
    return bias.flip([*range(rank + 1, 2 * rank + 1)]).reshape(-1, num_tokens, num_tokens)


def crop_table(table: Tensor, window_size: Sequence[int]) -> Tensor:
    """The offsets within a window from the table of one at least as large."""
    for axis, size in enumerate(window_size, start=1):
        largest = (int(table.shape[axis]) + 1) // 2
        table = table.narrow(axis, largest - size, 2 * size - 1)
    return table


def bias_lines(table: Tensor, window_size: Sequence[int]) -> Tensor:
    """Bias of a line of queries (along the last axis) against keys at any offset of the others.

    (nH, O...) -> (nH, w, J..., w) with w the last window and 2w-1 entries in every other axis,
    in the order of keys. Many times smaller than N x N, and it holds the bias of each line of
    queries as a slice; in two dimensions that slice is a view.
    """
    table = crop_table(table, window_size)
    table = table.unfold(-1, window_size[-1], 1)  # [.., q, j]: offset q - (w - 1 - j)
    rank = len(window_size)
    return table.flip([*range(1, rank), rank + 1]).movedim(rank, 1).contiguous()


def add_lines(table: Tensor, lines: Tensor, window_size: Sequence[int]) -> None:
    """Adjoint of `bias_lines`: add each entry of `lines` to its offset in the table."""
    table, rank = crop_table(table, window_size), len(window_size)
    lines = lines.movedim(1, rank).flip([*range(1, rank), rank + 1])  # [.., q, j]: offset q + j
    for query, part in enumerate(lines.unbind(-2)):
        table.narrow(-1, query, window_size[-1]).add_(part)


def line_slices(lines: Tensor, window_size: Sequence[int]) -> Iterator[Tensor]:
    """Slice (nH, w, window...) of `bias_lines` for each line of queries of a window, in order."""
    leading = window_size[:-1]
    for position in itertools.product(*map(range, leading)):
        part = lines
        for axis, (query, size) in enumerate(zip(position, leading), start=2):
            part = part.narrow(axis, size - 1 - query, size)
        yield part


def bias_tiles(
    lines: Tensor, window_size: Sequence[int], rows: int
) -> Iterator[tuple[slice, Tensor]]:
    """Tiles of about `rows` queries: which queries, and their bias (nH, queries, N)."""
    slices = line_slices(lines, window_size)
    start = 0
    while part := list(itertools.islice(slices, max(1, rows // window_size[-1]))):
        bias = torch.cat([line.flatten(2) for line in part], dim=1) if part[1:] else part[0]
        bias = bias.flatten(2)
        yield slice(start, start + bias.shape[1]), bias
        start += bias.shape[1]


def whole_bias(lines: Tensor, window_size: Sequence[int]) -> Tensor | None:
    """Bias (nH, N, N) of all token pairs, or None where that is too large to keep."""
    num_tokens = math.prod(window_size)
    if lines.shape[0] * num_tokens**2 > tile_numel(WHOLE_BIAS, lines):
        return None
    if lines.device.type == 'cpu':
        bias = lines.new_empty(lines.shape[0], num_tokens, num_tokens)
        for rows, line in zip(bias.split(window_size[-1], dim=1), line_slices(lines, window_size)):
            rows.view(line.shape).copy_(line)
        return bias
    return unfold_lines(lines, window_size)


def unfold_lines(lines: Tensor, window_size: Sequence[int]) -> Tensor:
    """Bias (nH, N, N) from `bias_lines` in a few operators, for GPUs: not one per line of queries.

    On CPUs, `flip` takes longer than the loop over lines.
    """
    rank, num_tokens = len(window_size), math.prod(window_size)
    for axis, size in enumerate(window_size[:-1], start=2):
        lines = lines.unfold(axis, size, 1)  # [.., q, .., k]: the bias of line size - 1 - q
    order = [0, *range(2, rank + 1), 1, *range(rank + 2, 2 * rank + 1), rank + 1]
    return lines.permute(order).flip([*range(1, rank)]).reshape(-1, num_tokens, num_tokens)


def add_whole_bias(lines: Tensor, bias: Tensor, window_size: Sequence[int]) -> None:
    """Adjoint of `whole_bias`: add each entry of a bias (nH, N, N) to its place in `lines`."""
    rank = len(window_size)
    bias = bias.view(-1, *window_size, *window_size)
    for axis, size in enumerate(window_size[:-1], start=1):
        shape = [2 * size - 1 if i == axis else n for i, n in enumerate(bias.shape)]
        total = bias.new_zeros(shape[: rank + 1] + shape[rank + 2 :])
        for query, part in enumerate(bias.unbind(axis)):  # the keys' axis is now at `rank`
            total.narrow(axis, size - 1 - query, size).add_(part.movedim(rank, axis))
        bias = total
    lines += bias.movedim(rank, 1)


class BiasTiles:
    """The bias of a window size, tile by tile, with the gradient that is summed for each tile.

    A bias that is small enough is built once, for all groups of windows, and cut into heads: tiles
    of whole windows make larger products than tiles of rows. A larger one is cut into rows of all
    heads, which are built again for every group.

    Args:
        lines: `bias_lines` of the window.
        window_size: Tokens per axis.
        tile: Elements of a tile.
    """

    def __init__(self, lines: Tensor, window_size: Sequence[int], tile: int) -> None:
        self.lines, self.window_size, self.tile = lines, window_size, tile
        self.lines_grad = torch.zeros_like(lines)
        self.whole = whole_bias(lines, window_size)
        self.whole_grad = None if self.whole is None else torch.zeros_like(self.whole)

    def __iter__(self) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
        """Queries, heads, their bias (heads, queries, N), and what its gradient is added to."""
        num_heads, num_tokens = self.lines.shape[0], math.prod(self.window_size)
        if self.whole is not None and self.whole_grad is not None:
            step = max(1, self.tile // num_tokens**2)
            for first in range(0, num_heads, step):
                heads = slice(first, min(first + step, num_heads))
                yield slice(0, num_tokens), heads, self.whole[heads], self.whole_grad[heads]
            return
        targets = line_slices(self.lines_grad, self.window_size)
        rows = self.tile // (num_heads * num_tokens)
        for queries, bias in bias_tiles(self.lines, self.window_size, rows):
            grad = torch.zeros_like(bias)
            yield queries, slice(0, num_heads), bias, grad
            for line in grad.split(self.window_size[-1], dim=1):
                target = next(targets)
                target += line.view(target.shape)

    def add_to_table(self, table: Tensor) -> None:
        """Add all gradients to that of the table."""
        if self.whole_grad is not None:
            add_whole_bias(self.lines_grad, self.whole_grad, self.window_size)
        add_lines(table, self.lines_grad, self.window_size)
