"""Backbones compiled for CUDA without a GPU: which operators their graphs hold.

Each is compiled in a process of its own, where Triton's kernels are not interpreted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / 'support/compile_backbone.py'
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec('triton') is None,
    reason='triton is not installed: pip install swinv2_dense[triton]',
)


def compile_backbone(*arguments: str) -> dict:
    environment = {k: v for k, v in os.environ.items() if k != 'TRITON_INTERPRET'}
    command = [sys.executable, str(PROGRAM), *arguments]
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr[-3000:]
    return json.loads(child.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize('backend', [pytest.param('triton', marks=needs_triton), 'tiled'])
def test_attention_is_one_operator_and_sizes_compile_once(backend):
    """One graph per size of the image, without breaks: a size that returns is not compiled again.

    The operator is opaque: neither loops over windows nor kernels are traced into.
    """
    found = compile_backbone(backend, '--sizes', '67x45', '90x61', '67x45')
    operator = f'swinv2_dense.{backend}_attention.default'
    assert found['graphs'] == [[operator] * 2] * 2
    assert found['compilations'] == [1, 2, 2]


@pytest.mark.slow
def test_frozen_bias_compiles_to_fused_attention():
    """Each window of a map cut by the shift is a call; the choice of kernels breaks no graph."""
    (graph,) = compile_backbone('sdpa')['graphs']
    assert len(graph) > 2 and set(graph) == {'<built-in function scaled_dot_product_attention>'}


@pytest.mark.slow
@needs_triton
def test_kernels_stay_kernels_and_write_their_outputs_alone():
    """In the graphs of both passes, which inductor gets, with what PyTorch finds in the kernels."""
    forward, *backward = compile_backbone('triton', '--aot')['kernels'][1:5]
    assert forward['writes'] == ['out', 'lse']
    written = [kernel['writes'] for kernel in backward]
    assert written == [
        ['delta', 'qkv_grad', 'scale_grad'],
        ['qkv_grad', 'pad_grad'],
        ['table_grad'],
    ]
    for kernel in (forward, *backward):
        assert {'qkv', 'pad', 'scale', 'table'} <= set(kernel['reads'])
