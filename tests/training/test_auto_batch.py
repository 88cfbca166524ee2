"""`--auto-batch`, with a limit for the memory that a training step keeps on the CPU."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import SUPPORT, run_here
from elastic_training import IN_STEPS, write_config
from forked import run_ranks
from mmengine.config import Config
from mmengine.structures import BaseDataElement, PixelData
from torch import nn

from swinv2_dense.errors import ConfigError
from swinv2_dense.training.auto_batch import (
    LargestBatch,
    divisors,
    enlarged,
    find_batch,
    largest,
)
from swinv2_dense.training.untouched import untouched

pytest.importorskip('mmseg')
LIMIT = 0.00035  # GiB; two samples take 0.00032, four 0.00037
BASE = 'auto_scale_lr = dict(base_batch_size=8)\n'


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    """Its batch is 4, and its learning rate for 8."""
    path = write_config(tmp_path_factory.mktemp('auto') / 'config.py', **IN_STEPS)
    path.write_text(path.read_text() + BASE)
    return path


def train(config: Path, work: Path, *flags: object) -> str:
    """Train in this process; return what the terminal shows."""
    result = run_here('train', config, '--work-dir', work, '--no-validate', '--seed', 0, *flags)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout + result.stderr


def losses(work: Path) -> dict[str, float]:
    (path,) = work.glob('losses_*.json')
    return json.loads(path.read_text())


@pytest.fixture(scope='module')
def small(config, tmp_path_factory) -> tuple[Path, str]:
    """A training with the limit: its folder and what it printed."""
    work = tmp_path_factory.mktemp('small')
    return work, train(config, work, '--auto-batch', LIMIT)


def test_the_trials_leave_no_trace(config, small, tmp_path):
    """Each loss has the bits of the training without the option; the saved config repeats it."""
    work, printed = small
    expected = '2 samples at a time fit into 0.00035 GiB, 4 do not (inputs of 32x32): '
    assert expected + '1 process x 2 x 4 accumulated, global batch 8' in printed
    saved = Config.fromfile(work / 'config.py')
    assert saved.train_cfg.micro_batches.size == saved.train_dataloader.batch_size == 2
    train(work / 'config.py', tmp_path / 'again')
    assert losses(tmp_path / 'again') == losses(work)
    train(config, tmp_path / 'all', '--auto-batch', 1)
    train(config, tmp_path / 'plain', '--cfg-options', 'train_dataloader.batch_size=8')
    assert losses(tmp_path / 'all') == losses(tmp_path / 'plain')
    for step, loss in losses(tmp_path / 'plain').items():
        assert losses(work)[step] == pytest.approx(loss, abs=1e-6)


def test_resuming_keeps_what_was_found(config, small, tmp_path):
    """With the config of the user, whose batch is another one, and without the option."""
    work, _ = small
    train(config, tmp_path, '--resume', work / 'iter_4.pth')
    resumed = losses(tmp_path)
    assert resumed == {step: loss for step, loss in losses(work).items() if int(step) >= 4}
    assert len(resumed) == 2


@pytest.mark.slow
@pytest.mark.parametrize('fragment', [None, 'zero1', 'fsdp'])
def test_two_processes_agree(config, fragment, tmp_path):
    """What fits depends on the strategy; the losses do not."""
    base = fragment and f'_base_/schedules/{fragment}.py'
    path = write_config(tmp_path / 'config.py', base=base, **IN_STEPS)
    path.write_text(path.read_text() + BASE)
    flags = ('--launcher', 'pytorch', '--auto-batch', LIMIT)
    result = run_ranks(SUPPORT / 'elastic_jobs.py', path, tmp_path / 'two', *flags, size=2)
    assert result.returncode == 0, result.stdout[-3000:]
    found = 'x 2 x 2 accumulated' if fragment is None else r'x (2 x 2 accumulated|4)'
    assert re.search(f'2 processes {found}, global batch 8', result.stdout), result.stdout[-3000:]
    train(config, tmp_path / 'plain', '--cfg-options', 'train_dataloader.batch_size=8')
    shared = json.loads((tmp_path / 'two' / 'losses_0_of_2.json').read_text())
    for step, loss in losses(tmp_path / 'plain').items():
        assert shared[step] == pytest.approx(loss, abs=1e-6)


def test_what_cannot_be_found(config, tmp_path):
    result = run_here('train', config, '--work-dir', tmp_path, '--auto-batch')
    assert result.returncode == 2
    assert 'there is none: give one in GiB, as in --auto-batch 8' in result.stderr
    result = run_here('train', config, '--work-dir', tmp_path, '--auto-batch', 1e-5)
    assert result.returncode == 2
    assert 'a training step with 1 sample does not fit into 1e-05 GiB' in result.stderr
    cfg = Config.fromfile(config)
    cfg.optim_wrapper.accumulative_counts = 3
    with pytest.raises(ConfigError, match='base_batch_size=8, which 1 processes x 3 accumulated'):
        find_batch(cfg, 1.0, None)
    cfg.train_dataloader = None
    with pytest.raises(ConfigError, match='--auto-batch needs train_dataloader, and the config'):
        find_batch(cfg, 1.0, None)


class Tried:
    """Records the sizes that are tried; those up to a limit fit."""

    def __init__(self, limit: int) -> None:
        self.limit, self.sizes = limit, []

    def __call__(self, size: int) -> bool:
        self.sizes.append(size)
        return size <= self.limit


@pytest.mark.parametrize('share', [1, 2, 12, 16, 30, 64])
def test_the_largest_that_fits(share):
    """For every limit, without trying one number twice."""
    for limit in range(share + 2):
        tried = Tried(limit)
        found = largest(divisors(share), tried)
        assert found == max((n for n in range(1, limit + 1) if share % n == 0), default=0)
        assert len({*tried.sizes}) == len(tried.sizes) <= 7


def test_the_largest_inputs():
    """Images are padded to the size of the config, and label maps with them."""
    about = BaseDataElement(gt_sem_seg=PixelData(data=torch.ones(1, 3, 4)), other=[1])
    sample = dict(inputs=torch.ones(3, 3, 4), data_samples=about)
    found = enlarged(sample, (5, 6))
    assert found['inputs'].shape == (3, 5, 6)
    assert found['data_samples'].gt_sem_seg.data.shape == (1, 5, 6)
    assert found['data_samples'].other == [1]
    assert about.gt_sem_seg.data.shape == (1, 3, 4)


@pytest.mark.parametrize(
    ('drawn', 'size', 'batch_sampler', 'expected'),
    [
        ([(5, 8), (6, 7)], None, None, (6, 8)),  # a batch of both is padded to this
        ([(5, 8), (6, 7)], (9, 10), None, (9, 10)),
        ([(5, 8), (8, 5)], (6, 9), None, (9, 9)),
        ([(5, 8), (8, 5)], (6, 9), dict(type='AspectRatioBatchSampler'), (8, 9)),
    ],
)
def test_the_size_that_is_tried(drawn, size, batch_sampler, expected):
    """Of the samples drawn, of the config, and with portraits and landscapes in a batch."""
    loader = SimpleNamespace(
        dataset=[dict(inputs=torch.ones(3, *sides), data_samples=None) for sides in drawn],
        collate=lambda samples: [sample['inputs'].shape for sample in samples],
        cfg=dict(batch_sampler=batch_sampler),
    )
    assert LargestBatch(loader, size).of(2) == [(3, *expected)] * 2
    no_images = SimpleNamespace(dataset=[1, 2], collate=list, cfg={})
    assert LargestBatch(no_images, size).of(2) == [1, 1]


@pytest.mark.parametrize('has_state', [False, True])
def test_a_step_is_undone(has_state):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def step() -> None:
        model(torch.rand(5, 3)).square().sum().backward()
        optimizer.step()

    def everything() -> list:
        moments = [v for state in optimizer.state.values() for v in state.values()]
        values = [*model.state_dict().values(), *moments, torch.get_rng_state()]
        rates = [group['lr'] for group in optimizer.param_groups]
        return [[v.tolist() for v in values], rates, random.getstate(), str(np.random.get_state())]

    if has_state:
        step()
    before = everything()
    with untouched(model, optimizer):
        step()
        np.random.rand(), random.random()
        assert everything()[0] != before[0]
    assert everything() == before
