"""Work of the kernels in triton_kernels.py, and the least time that a GPU needs for it.

Everything is counted from shapes and tile sizes; nothing here has been measured. Print the tables
of docs/gpu_rooflines.md: python -m swinv2_dense.costs.rooflines
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, fields
from itertools import product
from typing import NamedTuple

import torch

from ..models.triton_tiles import PROGRAMS, TILES, Tiles
from ..models.windows import axis_layouts

KERNELS = ('forward', 'query', 'key', 'table')
FLOAT = 4  # bytes of lse, delta, scale and table


class Problem(NamedTuple):
    """Window attention of one map."""

    batch: int
    sizes: tuple[int, ...]  # of the map, in tokens
    window: tuple[int, ...]
    shifted: bool
    heads: int
    head_dims: int = 32
    num_bytes: int = 2  # per element of the map


@dataclass
class Work:
    """What a kernel does, all programs together."""

    hbm: int = 0  # bytes, each address once: L2 holds what is read again
    l2: int = 0  # bytes that loads and stores ask for, without the table
    flops: int = 0  # of matrix products, of whole tiles
    exponentials: int = 0
    gathers: int = 0  # entries of the table of offsets, of whole tiles
    atomics: int = 0  # additions to the gradient of the table
    programs: int = 0  # warps that are started
    steps: int = 0  # times that a warp goes through the loop of its kernel

    def __add__(self, other: Work) -> Work:
        names = [field.name for field in fields(self)]
        return Work(*(getattr(self, name) + getattr(other, name) for name in names))

    def __mul__(self, times: int) -> Work:
        return Work(*(getattr(self, field.name) * times for field in fields(self)))


def windows(problem: Problem) -> Counter[tuple[int, int]]:
    """How many windows of a map have so many tokens, and so many of them in the map.

    Windows that lie in the padding alone are left out, as the kernels do.
    """
    axes = []
    for size, layout in zip(
        problem.sizes, axis_layouts(problem.sizes, problem.window, problem.shifted)
    ):
        found: Counter[tuple[int, int]] = Counter()
        for run in layout.runs:
            for start in range(run.start, run.start + run.num_tokens, run.window):
                if start < size:
                    found[run.window, min(run.window, size - start)] += 1
        axes.append(found)
    total: Counter[tuple[int, int]] = Counter()
    for combination in product(*(axis.items() for axis in axes)):
        tokens = math.prod(window for (window, _), _ in combination)
        inside = math.prod(real for (_, real), _ in combination)
        total[tokens, inside] += math.prod(count for _, count in combination)
    return total


def count(kernel: str, problem: Problem, tile: Tiles) -> Work:
    """Work of a kernel.

    Args:
        kernel: One of `KERNELS`.
        problem: The map and its windows.
        tile: The tile sizes of the kernel.
    """
    whole = math.prod(min(s, w) for s, w in zip(problem.sizes, problem.window))
    per_window = {'forward': _forward, 'query': _query, 'key': _key, 'table': _table}[kernel]
    work, num_windows, tiles = Work(), 0, 0
    for (tokens, inside), number in windows(problem).items():
        work += per_window(problem, tile, tokens, inside, whole) * number
        num_windows += number
        tiles += math.ceil(inside / tile.queries) * number
    work *= problem.batch * problem.heads
    if kernel == 'table':
        pairs = math.ceil(whole / tile.queries) * math.ceil(whole / tile.keys)
        total = problem.batch * num_windows
        each = math.ceil(total / max(1, PROGRAMS // (pairs * problem.heads)))
        chunks = math.ceil(total / each) * problem.heads
        work.gathers += chunks * pairs * tile.queries * tile.keys
        work.atomics += chunks * whole**2
        work.programs += chunks * pairs * tile.warps
        work.l2 += chunks * pairs * FLOAT  # the scale
    padded = any(tokens > inside for tokens, inside in windows(problem))
    work.hbm = _hbm(kernel, problem, problem.batch * tiles, padded)
    return work


def _hbm(kernel: str, problem: Problem, tiles: int, padded: bool) -> int:
    """Bytes that are read or written at least once."""
    channels = problem.heads * problem.head_dims * problem.num_bytes
    tokens = problem.batch * math.prod(problem.sizes)
    number = problem.heads * FLOAT  # one per head
    table = number * math.prod(
        2 * min(size, window) - 1 for size, window in zip(problem.sizes, problem.window)
    )
    per_token = {
        'forward': 3 * channels + channels + number,  # qkv; out, lse
        'query': 5 * channels + number + channels + number,  # qkv, out, grad, lse; dq, delta
        'key': 4 * channels + 2 * number + 2 * channels,  # qkv, grad, lse, delta; dk, dv
        'table': 4 * channels + 2 * number,  # qkv, grad, lse, delta
    }[kernel]
    parts = tiles * number if kernel == 'query' else 0  # of the gradient of the scale
    written = table if kernel == 'table' else 0
    pad = 2 * channels if padded else 0  # k and v of padded tokens
    return tokens * per_token + pad + number + table + written + parts


# Work of one window and head. `tokens` are all of a window, `inside` those in the map.


def _forward(p: Problem, tile: Tiles, tokens: int, inside: int, whole: int) -> Work:
    """q and the output once; k and v for each tile of queries."""
    rows, columns = math.ceil(inside / tile.queries), math.ceil(tokens / tile.keys)
    vector, pairs = p.head_dims * p.num_bytes, tile.queries * tile.keys
    return Work(
        programs=rows * tile.warps,
        steps=rows * columns * tile.warps,
        l2=vector * (2 * inside + 2 * rows * tokens) + FLOAT * (rows + inside),
        flops=rows * columns * 4 * pairs * p.head_dims,  # q k^T, P v
        exponentials=rows * columns * (pairs + tile.queries),
        gathers=rows * columns * pairs,
    )


def _query(p: Problem, tile: Tiles, tokens: int, inside: int, whole: int) -> Work:
    """q, the output, its gradient and dq once; k and v for each tile of queries."""
    rows, columns = math.ceil(inside / tile.queries), math.ceil(tokens / tile.keys)
    vector, pairs = p.head_dims * p.num_bytes, tile.queries * tile.keys
    return Work(
        programs=rows * tile.warps,
        steps=rows * columns * tile.warps,
        l2=vector * (4 * inside + 2 * rows * tokens) + FLOAT * (2 * rows + 2 * inside),
        flops=rows * columns * 6 * pairs * p.head_dims,  # q k^T, dO v^T, dL k
        exponentials=rows * columns * pairs,
        gathers=rows * columns * pairs,
    )


def _key(p: Problem, tile: Tiles, tokens: int, inside: int, whole: int) -> Work:
    """k, v, dk and dv once; q, the gradient and two numbers for each tile of keys."""
    rows, columns = math.ceil(inside / tile.queries), math.ceil(tokens / tile.keys)
    vector, pairs = p.head_dims * p.num_bytes, tile.queries * tile.keys
    return Work(
        programs=columns * tile.warps,
        steps=rows * columns * tile.warps,
        l2=vector * (2 * inside + 2 * tokens + 2 * columns * inside)
        + FLOAT * (columns + 2 * columns * inside),
        flops=rows * columns * 8 * pairs * p.head_dims,  # q k^T, P^T dO, v dO^T, dL^T q
        exponentials=rows * columns * pairs,
        gathers=rows * columns * pairs,
    )


def _table(p: Problem, tile: Tiles, tokens: int, inside: int, whole: int) -> Work:
    """q, k, v and the gradient for each tile; cut windows take the tiles of whole ones."""
    rows, columns = math.ceil(whole / tile.queries), math.ceil(whole / tile.keys)
    vector, pairs = p.head_dims * p.num_bytes, tile.queries * tile.keys
    return Work(
        steps=rows * columns * tile.warps,
        l2=vector * (2 * columns * inside + 2 * rows * tokens) + FLOAT * 2 * columns * inside,
        flops=rows * columns * 4 * pairs * p.head_dims,  # q k^T, dO v^T
        exponentials=rows * columns * pairs,
    )


class Gpu(NamedTuple):
    """Peak speeds of a GPU; sources in docs/gpu_rooflines.md."""

    name: str
    capability: int
    processors: int  # streaming multiprocessors
    clock: float  # Hz, boost
    bandwidth: float  # bytes/s of HBM
    tensor: float  # FLOP/s of bf16 and fp16 products, dense

    def per_clock(self, number: int) -> float:
        """Operations per second, of which each multiprocessor does `number` per clock."""
        return number * self.processors * self.clock


GPUS = (
    Gpu('A100 SXM, 80 GB', 80, 108, 1.41e9, 2.039e12, 312e12),
    Gpu('H100 SXM, 80 GB', 90, 132, 1.83e9, 3.35e12, 989.4e12),
)
EXPONENTIALS = 16  # per multiprocessor and clock
LOADS = 32  # words of 4 bytes from L1, per multiprocessor and clock
ISSUED = 4  # instructions of a warp, per multiprocessor and clock
L2_BYTES = 5120  # per clock of the whole GPU
# Instructions of a warp in the loop and outside of it, by compute capability; bf16, 32 channels per
# head, compiled by Triton 3.9.0. See tests/models/test_triton_compiled.py.
INSTRUCTIONS = {
    80: dict(forward=(371, 830), query=(349, 1025), key=(495, 1194), table=(708, 876)),
    90: dict(forward=(363, 888), query=(347, 1051), key=(479, 1261), table=(700, 907)),
}


def seconds(kernel: str, work: Work, gpu: Gpu) -> dict[str, float]:
    """The time of each resource, if it were the only limit; half precision, 32 channels per head.

    The last is the time to issue all instructions, of which the others are a part.
    """
    loop, outside = INSTRUCTIONS[gpu.capability][kernel]
    instructions = work.steps * loop + work.programs * outside
    return {
        'HBM': work.hbm / gpu.bandwidth,
        'L2': work.l2 / (L2_BYTES * gpu.clock),
        'tensor cores': work.flops / gpu.tensor,
        'exponentials': work.exponentials / gpu.per_clock(EXPONENTIALS),
        'gathers': work.gathers / gpu.per_clock(LOADS),
        'instructions': instructions / gpu.per_clock(ISSUED),
    }


PAGE_WINDOWS = (8, 12, 16, 20, 24, 32, 48, 56)


def page_problem(window: int) -> Problem:
    """Stage 1 of T in a block with shifted windows: 8 images of 1024 x 1024 pixels."""
    return Problem(8, (256, 256), (window, window), True, 3)


def page_work() -> dict[tuple[str, int], Work]:
    """Work by kernel and window."""
    tiles = TILES[torch.bfloat16]
    return {
        (kernel, window): count(kernel, page_problem(window), tiles[kernel])
        for kernel in KERNELS
        for window in PAGE_WINDOWS
    }


def counts_table() -> str:
    """Markdown: the work of each kernel and window."""
    lines = [
        '| kernel | window | HBM, MB | L2, MB | GFLOP | exponentials, 10^9 | gathers, 10^9 '
        '| atomics, 10^6 |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for (kernel, window), work in page_work().items():
        cells = [
            f'{work.hbm / 1e6:.0f}',
            f'{work.l2 / 1e6:.0f}',
            f'{work.flops / 1e9:.0f}',
            f'{work.exponentials / 1e9:.2f}',
            f'{work.gathers / 1e9:.2f}',
            f'{work.atomics / 1e6:.1f}' if work.atomics else '',
        ]
        lines.append(f'| {kernel} | {window} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def times_table(gpu: Gpu) -> str:
    """Markdown: milliseconds of each resource, and which of the first five takes longest."""
    lines = []
    for (kernel, window), work in page_work().items():
        times = seconds(kernel, work, gpu)
        if not lines:
            lines = [f'| kernel | window | {" | ".join(times)} | roofline |', '|---' * 9 + '|']
        cells = [f'{time * 1e3:.2f}' for time in times.values()]
        del times['instructions']
        limit = max(times, key=times.__getitem__)
        lines.append(f'| {kernel} | {window} | {" | ".join(cells)} | {limit} |')
    return '\n'.join(lines)


def main() -> None:
    """Print the tables of the page."""
    print(counts_table())
    for gpu in GPUS:
        print(f'\n{gpu.name}\n\n{times_table(gpu)}')


if __name__ == '__main__':
    main()
