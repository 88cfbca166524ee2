"""The Triton kernels compile for GPUs that are not there, and fit into their memories.

Each combination is compiled in a process of its own, where the kernels are not interpreted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('triton', reason='triton is not installed: pip install swinv2_dense[triton]')

PROGRAM = Path(__file__).parents[1] / 'support/compile_triton_kernels.py'
# Bytes of shared memory that a block can use, by compute capability (CUDA C++ Programming Guide,
# "Technical Specifications per Compute Capability").
SHARED = {80: 163 << 10, 90: 227 << 10, 100: 227 << 10}


def compile_kernels(*arguments: str) -> list[dict]:
    environment = {k: v for k, v in os.environ.items() if k != 'TRITON_INTERPRET'}
    command = [sys.executable, str(PROGRAM), *arguments]
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    return [json.loads(line) for line in child.stdout.splitlines()]


def assert_fits(capability: int, kernels: list[dict]) -> None:
    assert [kernel['kernel'] for kernel in kernels] == ['forward', 'query', 'key', 'table']
    for kernel in kernels:
        assert kernel['spills'] == 0, kernel
        assert kernel['shared'] <= SHARED[capability], kernel


def test_no_spills_on_h100_in_bf16():
    assert_fits(90, compile_kernels('90', 'bf16', '32'))


@pytest.mark.slow
@pytest.mark.parametrize('head', [16, 32, 64])
@pytest.mark.parametrize('dtype', ['bf16', 'fp16', 'fp32'])
@pytest.mark.parametrize('capability', SHARED)
def test_no_spills(capability, dtype, head):
    assert_fits(capability, compile_kernels(str(capability), dtype, str(head)))


@pytest.mark.slow
@pytest.mark.parametrize('kind', [('--similarity', 'dot'), ('--eps', '5e-5')])
@pytest.mark.parametrize('capability', SHARED)
def test_no_spills_of_other_similarities(capability, kind):
    assert_fits(capability, compile_kernels(str(capability), 'bf16', '32', *kind))


@pytest.mark.slow
@pytest.mark.parametrize('capability', SHARED)
def test_no_spills_with_tf32(capability):
    assert_fits(capability, compile_kernels(str(capability), 'fp32', '32', '--precision', 'tf32'))
