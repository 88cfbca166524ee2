"""FSDP and ZeRO-1 added to configs of the three tasks, compared with plain DDP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from commands import SUPPORT, run_here
from distributed_configs import write_configs
from distributed_jobs import TASKS
from forked import run_ranks
from launching import MISSING, losses, records
from sharded_jobs import EARLIER, FIRST, HANDED_ON, LAST, LENGTHS, TESTED
from torch.testing import assert_close

from swinv2_dense import config_path
from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.distributed.parameters import unwrapped_name

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f'needs {", ".join(MISSING)}')
FRAGMENTS = ('fsdp', 'zero1')


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """Folder of all trainings and tests."""
    folder = tmp_path_factory.mktemp('tools')
    write_configs(folder, folder / 'data')
    for task in TASKS:
        for name in FRAGMENTS:
            fragment = config_path(f'_base_/schedules/{name}.py')
            bases = f"_base_ = ['./{task}.py', '{fragment}']\n"
            (folder / f'{task}_{name}.py').write_text(bases)
    jobs = SUPPORT / 'sharded_jobs.py'
    result = run_ranks(jobs, folder)
    assert result.returncode == 0, result.stdout[-4000:]
    return folder


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    steps = LAST if name.startswith('seg') else FIRST
    path = folder / name / f'iter_{steps}.pth'
    state = read_checkpoint_file(path)['state_dict']
    return {unwrapped_name(key): value for key, value in state.items()}


@pytest.mark.parametrize('fragment', FRAGMENTS)
@pytest.mark.parametrize(
    'task', [pytest.param(t, marks=[pytest.mark.slow] * (t == 'det')) for t in TASKS]
)
def test_they_train_as_ddp(trained, task, fragment):
    """Each loss of each process, and the weights; of segmentation, resumed after two of three
    steps, with FSDP from pieces. Frozen stages, recomputed blocks and SyncBN included.

    Measured: weights 1e-7, of an update of 1e-2 and more; FSDP sums gradients in another order.
    """
    name = f'{task}_{fragment}'
    first = FIRST if task == 'seg' else 0
    for shared, plain in zip(records(trained, name), records(trained, task)):
        expected = {key: value[first:] for key, value in losses(plain).items()}
        assert_close(losses(shared), expected, atol=1e-5, rtol=1e-5)
    assert_close(weights(trained, name), weights(trained, task), atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize('name', HANDED_ON)
def test_any_of_them_resumes_from_any_checkpoint(trained, name):
    """With moments: from FSDP shards to DDP and ZeRO-1, and from ZeRO-1's file to FSDP."""
    found = weights(trained, f'{name}_after_{HANDED_ON[name]}')
    assert_close(found, weights(trained, 'seg'), atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize('name', EARLIER)
def test_trainings_of_an_earlier_version_are_resumed(trained, name):
    """With its saved config: from FSDP shards, and from ZeRO-1's file."""
    assert_close(weights(trained, f'{name}_earlier'), weights(trained, name), atol=0, rtol=0)


@pytest.mark.parametrize('task', TASKS)
def test_models_are_sharded_or_wrapped_as_the_fragment_says(trained, task):
    assert {r['kind'] for r in records(trained, f'{task}_zero1')} == {'DeviceAgnosticDDP'}
    (kind,) = {r['kind'] for r in records(trained, f'{task}_fsdp')}
    assert kind.startswith('FSDP')  # the class that torch derives from that of the model


@pytest.mark.parametrize('name', TESTED)
def test_checkpoints_are_tested_in_one_process(trained, tmp_path, name):
    """Through tools/test.py with the plain config, with equal results: full and sharded ones."""
    task, steps = name.split('_')[0], LENGTHS.get(name, [FIRST])[-1]
    checkpoint = trained / name / f'iter_{steps}.pth'
    assert checkpoint.is_dir() == (name == 'seg_fsdp')
    result = run_here('test', trained / f'{task}.py', checkpoint, '--work-dir', tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    found = []
    for folder in (tmp_path, trained / f'{name}_test'):
        (path,) = folder.glob('*/*.json')
        metrics = json.loads(path.read_text())
        found.append({k: v for k, v in metrics.items() if k not in ('time', 'data_time')})
    assert found[0] == found[1]
    assert any(value > 0 for value in found[0].values())


def test_shards_are_converted_to_a_file(trained, tmp_path):
    folder = trained / 'seg_fsdp' / f'iter_{LAST}.pth'
    result = run_here('publish_checkpoint', folder, tmp_path / 'whole.pth')
    assert result.returncode == 0, result.stderr[-3000:]
    (path,) = tmp_path.glob('whole-*.pth')
    expected = dict(read_checkpoint_file(folder)['state_dict'])
    assert_close(dict(read_checkpoint_file(path)['state_dict']), expected, atol=0, rtol=0)
