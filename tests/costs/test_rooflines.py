"""The counts behind docs/gpu_rooflines.md: by hand, and as Triton's interpreter executes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from commands import ROOT, SUPPORT

from swinv2_dense.costs.rooflines import (
    GPUS,
    INSTRUCTIONS,
    KERNELS,
    Problem,
    count,
    counts_table,
    seconds,
    times_table,
    windows,
)
from swinv2_dense.models.triton_tiles import TILES, Tiles

PAGE = ROOT / 'docs/gpu_rooflines.md'
NO_TRITON = 'triton is not installed: pip install swinv2_dense[triton]'


def test_windows_by_hand():
    """9 tokens, padded to 12, in windows of 2, 4, 4 and 2 of which the last is padding."""
    problem = Problem(1, (9,), (4,), True, 1)
    assert windows(problem) == {(2, 2): 1, (4, 4): 1, (4, 3): 1}
    assert windows(problem._replace(shifted=False)) == {(4, 4): 2, (4, 1): 1}
    assert windows(Problem(1, (3, 9), (8, 4), True, 1)) == {(6, 6): 1, (12, 12): 1, (12, 9): 1}


def test_forward_by_hand():
    """Two windows of 64 tokens, a head of 32 channels in bf16; a tile of all queries, two of keys.

    Per window: q, k and v are read and the output is written, 4 x 64 x 64 bytes, 64 of fp32, and a
    scale.
    """
    work = count('forward', Problem(1, (8, 16), (8, 8), False, 1), Tiles(64, 32, 4))
    assert work.flops == 2 * 2 * (2 * 64 * 64 * 32)
    assert work.exponentials == 2 * (64 * 64 + 2 * 64)
    assert work.gathers == 2 * 64 * 64
    assert work.l2 == 2 * (4 * 64 * 64 + 64 * 4 + 4)
    assert work.hbm == 128 * (4 * 64 + 4) + 4 + 15 * 15 * 4
    assert (work.programs, work.steps) == (2 * 4, 2 * 2 * 4)


def test_table_by_hand():
    """Windows of 3136 tokens: 98 x 49 tiles per head, more than programs, so one sum of all."""
    work = count('table', Problem(8, (256, 256), (56, 56), True, 3), Tiles(32, 64, 8))
    assert work.atomics == 3 * 3136**2
    assert work.gathers == 3 * 98 * 32 * 49 * 64
    assert work.flops == 3 * 8 * 6**2 * 98 * 49 * (4 * 32 * 64 * 32)


def test_seconds_by_hand():
    """A100: 312 TFLOP/s, 2.039 TB/s, 16 exponentials per clock of 108 multiprocessors."""
    work = count('forward', Problem(1, (8, 16), (8, 8), False, 1), Tiles(64, 32, 4))
    found = seconds('forward', work, GPUS[0])
    assert found['HBM'] == pytest.approx(work.hbm / 2.039e12)
    assert found['tensor cores'] == pytest.approx(2**20 / 312e12)
    assert found['exponentials'] == pytest.approx(2 * 4224 / (16 * 108 * 1.41e9))


@pytest.mark.parametrize(
    'sizes, window, dtype, batch, heads',
    [
        ((6, 20), (6, 12), torch.bfloat16, 1, 1),
        pytest.param((3, 12, 9), (2, 8, 6), torch.float16, 2, 2, marks=pytest.mark.slow),
    ],
)
def test_counts_equal_those_of_the_interpreter(sizes, window, dtype, batch, heads):
    """Every load, store, product, exponential and atomic addition of all four kernels.

    Padded, shifted and cut windows of several tiles, and at least one that is whole.
    """
    module = pytest.importorskip('swinv2_dense.models.triton_attention', reason=NO_TRITON)
    if torch.cuda.is_available():
        pytest.skip('on CUDA the kernels are compiled')
    from counted_kernels import counted_kernels

    dims = 16
    channels = 3 * heads * dims
    qkv = torch.randn(batch, *sizes, channels, dtype=dtype, requires_grad=True)
    table = torch.randn(heads, *(2 * w - 1 for w in window), requires_grad=True)
    with counted_kernels() as launches:
        out = module.triton_attention(
            qkv, torch.randn(channels, dtype=dtype), torch.ones(heads, 1, 1), table, window, True
        )
        out.sum().backward()
    problem = Problem(batch, sizes, window, True, heads, dims)
    padded = any(tokens > inside for tokens, inside in windows(problem))
    for kernel, found in zip(KERNELS, launches, strict=True):
        work = count(kernel, problem, TILES[dtype][kernel])
        assert found.flops == work.flops, kernel
        assert found.exponentials == work.exponentials, kernel
        assert found.gathers == work.gathers, kernel
        assert found.bytes == work.l2, kernel
        if kernel == 'key' and padded:  # whose gradient is added to that of the padded token
            assert found.distinct_bytes == work.hbm + 4 * channels * 2 // 3
        else:
            assert found.atomics == work.atomics, kernel
            assert found.distinct_bytes == work.hbm, kernel


@pytest.mark.slow
@pytest.mark.parametrize('gpu', GPUS, ids=lambda gpu: gpu.name[:4])
def test_instructions_are_those_of_the_compiled_kernels(gpu):
    """To 5 %: another release of Triton may schedule a few more or less."""
    pytest.importorskip('triton', reason=NO_TRITON)
    environment = {k: v for k, v in os.environ.items() if k != 'TRITON_INTERPRET'}
    command = [sys.executable, str(SUPPORT / 'compile_triton_kernels.py')]
    done = subprocess.run(
        [*command, str(gpu.capability), 'bf16', '32'],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for row in map(json.loads, done.stdout.splitlines()):
        expected = INSTRUCTIONS[gpu.capability][row['kernel']]
        assert (row['loop'], row['outside']) == pytest.approx(expected, rel=0.05), row


def test_the_page_shows_these_counts():
    """`python -m swinv2_dense.costs.rooflines` prints the tables."""
    text = PAGE.read_text()
    assert counts_table() in text
    for gpu in GPUS:
        assert times_table(gpu) in text
