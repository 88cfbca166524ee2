"""Training steps of backbones with attention_backend='triton', under the interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from forked import run_ranks
from torch.testing import assert_close
from triton_step import training_step

pytest.importorskip('triton', reason='triton is not installed: pip install swinv2_dense[triton]')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason='kernels are compiled on CUDA'),
]
SCRIPT = Path(__file__).parents[1] / 'support' / 'triton_step.py'


@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_activation_checkpointing_changes_nothing(dtype):
    """Also under autocast, which the recomputation must see."""
    kept = training_step('triton', dtype=dtype)
    again = training_step('triton', dtype=dtype, with_cp=True)
    assert_close(again, kept, atol=1e-6, rtol=1e-5)


def test_a_step_is_that_of_tiled():
    assert_close(training_step('triton'), training_step('tiled'), atol=1e-5, rtol=1e-4)


def test_two_processes_with_sharded_parameters(tmp_path):
    """Gradients of `fully_shard`, gathered, are those of one process without sharding."""
    result = run_ranks(SCRIPT, tmp_path, size=2)
    assert result.returncode == 0, result.stdout[-3000:]
    found = torch.load(tmp_path / 'step.pth', weights_only=True)
    expected = training_step('tiled')
    assert found.keys() == expected.keys()
    assert_close(found, expected, atol=1e-5, rtol=1e-4)
