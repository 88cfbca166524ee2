"""Two processes on the CPU compared with one, for all tasks, through the command line."""

from __future__ import annotations

import json
import os
import pickle
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import SUPPORT
from distributed_configs import SAMPLES, write_configs
from distributed_jobs import STEPS, TASKS, UNEVEN, norm_inputs
from forked import run_ranks, run_script
from launching import MISSING, launch, losses, records
from mmengine.config import ConfigDict
from torch import Tensor, nn
from torch.testing import assert_close

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.distributed.cpu import init_gloo_on_cpu
from swinv2_dense.distributed.launchers import world_size
from swinv2_dense.distributed.parameters import unwrapped_name
from swinv2_dense.errors import ConfigError

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f'needs {", ".join(MISSING)}')

JOBS = SUPPORT / 'distributed_jobs.py'


# ------------------------------------------------------------------------- one process and two


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('data')


@pytest.fixture(scope='module')
def alone(data, tmp_path_factory) -> Path:
    """Folder of trainings and tests in a single process."""
    folder = tmp_path_factory.mktemp('alone')
    write_configs(folder, data)
    result = run_script(JOBS, folder)
    assert result.returncode == 0, result.stderr[-4000:]
    return folder


@pytest.fixture(scope='module')
def shared(data, alone, tmp_path_factory) -> Path:
    """Folder of the same in two processes, which test the weights of the single one."""
    folder = tmp_path_factory.mktemp('shared')
    write_configs(folder, data)
    result = run_ranks(JOBS, folder, alone)
    assert result.returncode == 0, result.stdout[-4000:]
    return folder


def weights(folder: Path, task: str, parts: int = 1) -> dict[str, Tensor]:
    path = folder / task / f'iter_{STEPS * parts}.pth'
    state = read_checkpoint_file(path)['state_dict']
    return {
        unwrapped_name(name): value for name, value in state.items()
    }  # DDPStrategy's are prefixed


def initial(folder: Path, task: str) -> dict[str, Tensor]:
    return read_checkpoint_file(folder / task / 'initial.pth')


@pytest.mark.slow
def test_a_detector_trains_as_with_accumulated_gradients(alone, shared):
    """Bit for bit: two processes with an image each, one with two images one after the other.

    The mean of two gradients is the same sum in both; halving is exact. Two images at once are
    another function: mmdet averages losses by the boxes of a process.
    """
    (one,), two = records(alone, 'det'), records(shared, 'det')
    expected = losses(one)
    for rank, record in enumerate(two):
        assert {k: v.tolist() for k, v in losses(record).items()} == {
            k: v[rank::2].tolist() for k, v in expected.items()
        }
    assert expected['s0.loss_mask'].min() > 0
    trained = weights(shared, 'det')
    assert_close(trained, weights(alone, 'det', parts=2), atol=0, rtol=0)


@pytest.mark.parametrize('task', ['seg', 'video'])
def test_others_train_as_with_the_full_batch(alone, shared, task):
    """Two processes with two samples each against one with four, with batch norm over all four.

    Rounding differs, as the sums have another order. Measured: losses 1e-6, weights 5e-7, of an
    update of 1e-2 and more.
    """
    (one,), two = records(alone, task), records(shared, task)
    expected, first, second = losses(one), *map(losses, two)
    means = {name: (first[name] + second[name]) / 2 for name in expected if 'acc' not in name}
    assert_close(means, {name: expected[name] for name in means}, atol=1e-5, rtol=0)
    assert (first['loss'] - second['loss']).abs().min() > 1e-3  # each has its own samples
    before, trained, reference = initial(alone, task), weights(shared, task), weights(alone, task)
    assert_close(initial(shared, task), before, atol=0, rtol=0)
    assert_close(trained, reference, atol=2e-6, rtol=1e-6)
    update = torch.cat([(reference[name] - before[name]).flatten() for name in before])
    error = torch.cat([(reference[name] - trained[name]).flatten() for name in before])
    assert error.norm() < 1e-4 * update.norm()


@pytest.mark.parametrize('task', TASKS)
def test_models_are_wrapped_without_a_search_for_unused_parameters(shared, task):
    """Although all recompute activations, and two have frozen stages."""
    before, trained = initial(shared, task), weights(shared, task)
    for record in records(shared, task):
        assert record['kind'] == 'DeviceAgnosticDDP' and record['search'] is False
        assert bool(record['frozen']) == (task != 'seg')
        for name, value in before.items():
            assert not (name in record['frozen'] and (trained[name] != value).any()), name
    moved = sum(bool((trained[name] != value).any()) for name, value in before.items())
    assert moved > len(before) / 2


@pytest.mark.parametrize('task', TASKS)
def test_metrics_are_those_of_one_process(alone, shared, task):
    """With five samples, of which two processes get three each, one of them twice."""
    found = []
    for folder in (alone, shared):
        (path,) = (folder / f'{task}_test').glob('*/*.json')
        metrics = json.loads(path.read_text())
        found.append({k: v for k, v in metrics.items() if k not in ('time', 'data_time')})
    assert found[0] == found[1]
    assert any(value > 0 for value in found[0].values())
    predictions = [
        pickle.loads((folder / f'{task}.pkl').read_bytes()) for folder in (alone, shared)
    ]
    assert [len(part) for part in predictions] == [SAMPLES] * 2
    for one, two in zip(*predictions):
        assert_close(tensors(one), tensors(two), atol=0, rtol=0)


def tensors(value: object) -> list:
    """The tensors and arrays of a nested prediction."""
    if isinstance(value, dict):
        return [part for key in sorted(value) for part in tensors(value[key])]
    if isinstance(value, (list, tuple)):
        return [part for item in value for part in tensors(item)]
    return [torch.as_tensor(value)] if isinstance(value, (Tensor, np.ndarray)) else []


def test_the_log_says_that_gloo_connects_them(shared):
    runs = [f'{task}{kind}' for task in TASKS for kind in ('', '_test')]
    texts = [next((shared / run).glob('*/*.log')).read_text() for run in runs]
    said = [line for text in texts for line in re.findall(r'gloo connects 2 processes .*', text)]
    norms = [int(re.search(r'(\d+) SyncBN layers', line)[1]) for line in said]
    # Once per training and test: 13 layers in the heads of UperNet, then the layer below.
    assert norms == [0, 0, 13, 13, 0, 0, 1]


def test_batch_norm_over_uneven_shares(shared):
    """Outputs, gradients and running statistics equal torch's layer on all values."""
    x, grad = norm_inputs()
    norm = nn.BatchNorm2d(3).double()
    y = norm(x.requires_grad_())
    (y * grad).sum().backward()
    parts = [torch.load(shared / f'norm_{rank}.pth', weights_only=True) for rank in range(2)]
    assert [len(part['y']) for part in parts] == list(UNEVEN)
    assert_close(torch.cat([part['y'] for part in parts]), y.detach())
    assert_close(torch.cat([part['x'] for part in parts]), x.grad)
    for part in parts:
        assert_close(part['weight'], norm.weight.grad / 2)  # the wrapper averages
        assert_close(part['state'], dict(norm.state_dict()))
    norm.eval()
    assert_close(torch.cat([part['eval'] for part in parts]), norm(x).detach())


# ------------------------------------------------------------------------------------- a failure


def script(folder: Path, data: Path, changes: str) -> tuple[Path, dict[str, str]]:
    """A segmentation config with classes of these tests, and variables for tools/dist_train.sh."""
    write_configs(folder, data)
    modules = ['swinv2_dense', 'swinv2_dense.seg', 'distributed_jobs', 'failing_rank']
    config = folder / 'script.py'
    config.write_text(
        f"_base_ = './seg.py'\ncustom_imports = dict(imports={modules})\n"
        f'val_cfg = val_dataloader = val_evaluator = None\n{changes}\n'
    )
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(SUPPORT), os.environ.get('PYTHONPATH', '')])
    return config, dict(PORT=str(port), PYTHON=sys.executable, PYTHONPATH=path)


def test_the_error_of_one_process_ends_all(data, tmp_path):
    """Through the script that users run, and long before gloo's timeout of 30 minutes."""
    failing = "train_dataloader = dict(batch_size=1, dataset=dict(type='FailingDataset'))"
    config, env = script(tmp_path, data, failing)
    words = [config, 2, '--work-dir', tmp_path / 'work']
    code, printed = launch('bash', 'tools/dist_train.sh', *words, limit=120, **env)
    assert code == 1
    raised = re.findall(r'^\[rank(\d)\]: (\w*Error): (.*)$', printed, re.M)
    assert raised[0] == ('1', 'RuntimeError', 'the disk of process 1 is gone'), printed[-4000:]
    cause = printed[printed.index('Root Cause (first observed failure)') :]
    assert re.search(r'rank +: 1 ', cause) and 'the disk of process 1 is gone' in cause
    assert re.search(r'Iter\(train\) *\[ *1/', printed)  # after a step of both


@pytest.mark.slow
def test_two_machines(shared, data, tmp_path):
    """The script with one process on each of two simulated machines trains the same."""
    small = f'train_dataloader = dict(batch_size=2)\ntrain_cfg = dict(max_iters={STEPS})\n'
    small += f'default_hooks = dict(checkpoint=dict(interval={STEPS}))'
    config, env = script(tmp_path, data, small)
    words = ['bash', 'tools/dist_train.sh', config, 1, '--work-dir', tmp_path / 'seg', '--seed', 0]
    machines = [dict(env, NNODES='2', NODE_RANK=str(rank)) for rank in range(2)]
    with ThreadPoolExecutor() as pool:
        for code, printed in pool.map(lambda machine: launch(*words, **machine), machines):
            assert code == 0, printed[-4000:]
    assert_close(weights(tmp_path, 'seg'), weights(shared, 'seg'), atol=0, rtol=0)


# ---------------------------------------------------------------------------- how many there are


def test_number_of_processes(monkeypatch):
    for launcher, name in (('pytorch', 'WORLD_SIZE'), ('slurm', 'SLURM_NTASKS')):
        monkeypatch.delenv(name, raising=False)
        with pytest.raises(ConfigError, match=f'--launcher={launcher}, but {name} is not set'):
            world_size(launcher)
        monkeypatch.setenv(name, '6')
        assert world_size(launcher) == 6
    assert world_size('none') == 1


def test_a_single_process_is_not_changed():
    cfg = ConfigDict(launcher='none', env_cfg=dict(dist_cfg=dict(backend='nccl')))
    init_gloo_on_cpu(cfg)
    assert cfg == ConfigDict(launcher='none', env_cfg=dict(dist_cfg=dict(backend='nccl')))
    assert not torch.distributed.is_initialized()
