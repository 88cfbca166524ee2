"""Trainings that continue with another number of processes, against the one without interruption.

Losses are those that the log shows. Samples are augmented at random, weights are clipped by their
norm, and the learning rate changes in every iteration.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import SUPPORT
from distributed_configs import write_configs
from elastic_training import IN_EPOCHS, IN_STEPS, write_config
from forked import run_ranks
from launching import losses, records
from mmengine.config import Config
from torch import nn
from torch.testing import assert_close

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.distributed.parameters import unwrapped_name
from swinv2_dense.errors import ConfigError
from swinv2_dense.resilience.micro_batches import MicroBatches
from swinv2_dense.resilience.resume import META_KEY
from swinv2_dense.training.elastic import MicroBatchReportHook, keep_global_batch

pytest.importorskip('mmseg')
STEPS = 6
SAME = dict(atol=1e-6, rtol=1e-6)


class Runs:
    """Runs of a config in work directories of one folder."""

    def __init__(self, folder: Path, config: Path | None = None, **settings: object) -> None:
        self.folder = folder
        self.config = config or write_config(folder / 'config.py', **settings)
        self.printed = ''

    def train(self, name: str, processes: int, *flags: object, code: int = 0) -> None:
        """Train to the end, or to an error with the status `code`."""
        launcher = ['--launcher', 'pytorch'] if processes > 1 else []
        flags = (*launcher, *flags)
        jobs = SUPPORT / 'elastic_jobs.py'
        result = run_ranks(jobs, self.config, self.folder / name, *flags, size=processes)
        assert result.returncode == code, result.stdout[-4000:]
        self.printed = result.stdout

    def resume(self, name: str, processes: int, source: str, steps: int, *flags: object) -> None:
        checkpoint = self.folder / source / f'iter_{steps}.pth'
        self.train(name, processes, '--resume', checkpoint, *flags)

    def losses(self, name: str) -> dict[int, float]:
        """The logged losses by iteration; all processes log the mean over all."""
        files = sorted((self.folder / name).glob('losses_*.json'))
        found = [json.loads(file.read_text()) for file in files]
        return {int(step): sum(one[step] for one in found) / len(found) for step in found[0]}

    def weights(self, name: str) -> Mapping[str, torch.Tensor]:
        state = read_checkpoint_file(self.folder / name / f'iter_{STEPS}.pth')['state_dict']
        return {unwrapped_name(key): value for key, value in state.items()}

    def assert_continued(self, name: str, whole: str, start: int) -> None:
        expected = self.losses(whole)
        assert len({f'{loss:.3f}' for loss in expected.values()}) == STEPS
        assert_close(self.losses(name), {k: v for k, v in expected.items() if k >= start}, **SAME)
        assert_close(self.weights(name), self.weights(whole), atol=1e-5, rtol=1e-5)


def sharded(folder: Path, fragment: str) -> Runs:
    base = dict(fsdp='_base_/schedules/fsdp.py', zero1='_base_/schedules/zero1.py').get(fragment)
    return Runs(folder, base=base, **IN_STEPS)


def test_1_2_1(tmp_path):
    runs = sharded(tmp_path, 'ddp')
    runs.train('one', 1)
    runs.resume('two', 2, 'one', 2)
    assert '1 process x 4 -> 2 processes x 2: global batch 4 stays' in runs.printed
    assert 'Micro-batches have 2 samples instead of 4' in runs.printed
    runs.assert_continued('two', 'one', 2)
    runs.resume('again', 1, 'two', 4)
    assert '2 processes x 2 -> 1 process x 4: global batch 4 stays' in runs.printed
    runs.assert_continued('again', 'one', 4)


@pytest.mark.slow
@pytest.mark.parametrize('fragment', ['ddp', 'zero1', 'fsdp'])
def test_2_4_1_and_from_each_to_ddp(tmp_path, fragment):
    """The last step continues in one process, which trains on both micro-batches."""
    runs = sharded(tmp_path, fragment)
    runs.train('two', 2, '--cfg-options', 'train_dataloader.batch_size=2')
    runs.resume('four', 4, 'two', 2)
    assert '2 processes x 2 -> 4 processes x 1: global batch 4 stays' in runs.printed
    runs.assert_continued('four', 'two', 2)
    if fragment == 'ddp':
        runs.resume('one', 1, 'four', 4, '--cfg-options', 'train_dataloader.batch_size=2')
        assert '4 processes x 1 -> 1 process x 2 x 2 accumulated' in runs.printed
        runs.assert_continued('one', 'two', 4)
    else:
        runs.resume('two_again', 2, 'four', 4, '--cfg-options', 'train_dataloader.batch_size=2')
        runs.assert_continued('two_again', 'two', 4)


@pytest.mark.slow
def test_within_an_epoch(tmp_path):
    """Epochs of three iterations; the checkpoint is in the middle of the first and the second."""
    runs = Runs(tmp_path, **IN_EPOCHS)
    runs.train('one', 1)
    runs.resume('two', 2, 'one', 2)
    runs.assert_continued('two', 'one', 2)
    runs.resume('again', 1, 'two', 4)
    runs.assert_continued('again', 'one', 4)


@pytest.mark.slow
def test_accumulated_iterations_are_shared(tmp_path):
    """Four processes share the samples of two iterations of two, which accumulate gradients."""
    accumulated = ['optim_wrapper.accumulative_counts=2', 'train_dataloader.batch_size=2']
    runs = Runs(tmp_path, **IN_STEPS)
    runs.train('one', 1, '--cfg-options', *accumulated)
    runs.resume('four', 4, 'one', 2, '--cfg-options', *accumulated)
    assert '1 process x 2 x 2 accumulated -> 4 processes x 1' in runs.printed
    whole, found = runs.losses('one'), runs.losses('four')
    steps = {step: (whole[step - 1] + whole[step]) / 2 for step in (3, 5)}
    assert_close(found, steps, **SAME)
    assert_close(runs.weights('four'), runs.weights('one'), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_batches_by_aspect_ratio_and_dropout(tmp_path):
    """One process trains on the batches of both, in its order, with its random numbers."""
    pytest.importorskip('mmdet')
    runs = Runs(tmp_path, **IN_STEPS)
    options = ['train_dataloader.batch_sampler.type=mmdet.AspectRatioBatchSampler']
    options += ['train_dataloader.batch_size=2', 'model.drop_rate=0.5']
    runs.train('two', 2, '--cfg-options', *options)
    runs.resume('one', 1, 'two', 2, '--cfg-options', *options)
    runs.assert_continued('one', 'two', 2)
    flags = ('--resume', tmp_path / 'two' / 'iter_2.pth', '--cfg-options', *options)
    runs.train('four', 4, *flags, code=2)
    assert "batch_sampler.type='AspectRatioBatchSampler' chooses the samples" in runs.printed


@pytest.mark.slow
@pytest.mark.parametrize('task', ['det', 'video'])
def test_configs_of_this_package_on_fewer_processes(tmp_path, task):
    """A detector, too, whose losses are averaged over the boxes of each process."""
    pytest.importorskip({'det': 'mmdet', 'video': 'mmaction'}[task])
    write_configs(tmp_path, tmp_path / 'data')
    runs = Runs(tmp_path, tmp_path / f'{task}.py')
    options = ['custom_imports.imports=["distributed_jobs"]', 'train_dataloader.batch_size=2']
    options += ['train_cfg.max_iters=4']
    kept = ('interval=2', 'by_epoch=False', 'max_keep_ckpts=-1')
    options += [f'default_hooks.checkpoint.{setting}' for setting in kept]
    runs.train('two', 2, '--cfg-options', *options)
    runs.resume('one', 1, 'two', 2, '--cfg-options', *options)
    (found,), whole = ([losses(r) for r in records(tmp_path, name)] for name in ('one', 'two'))
    assert len(found['loss']) == 2
    for name, values in found.items():
        expected = torch.stack([one[name][2:] for one in whole]).mean(0)
        assert_close(values, expected, atol=1e-5 if 'acc' in name else 1e-6, rtol=1e-6)


@pytest.mark.parametrize('accumulated', [1, 2, 6])
def test_every_batch_that_can_be_divided_is(accumulated):
    for number, size, processes in itertools.product(range(1, 7), range(1, 7), range(1, 13)):
        plan = MicroBatches(number, size).divided(processes, accumulated)
        assert (plan is None) == bool(number * size * accumulated % processes)
        if plan is None:
            continue
        assert plan.samples == number * size and plan.size <= size
        assert accumulated % plan.merged == 0
        shares = [plan.shares(rank, processes) for rank in range(processes)]
        assert len({len(share) for share in shares}) == 1
        every = sorted(itertools.chain.from_iterable(shares))
        assert every == [*itertools.product(range(plan.merged), range(plan.number))]
        if number % processes == 0:
            assert plan == MicroBatches(number, size)
        assert plan.divided(number, accumulated) == MicroBatches(number, size)


def resumed(folder: Path, batch: dict, iterations: int = 4, **changes: object) -> Config:
    """A config of four processes that resumes a checkpoint with this batch."""
    meta = {META_KEY: dict(batch=batch), 'iter': iterations}
    torch.save(dict(meta=meta, state_dict={}), folder / 'a.pth')
    cfg = Config.fromfile(write_config(folder / 'config.py', **IN_STEPS))
    cfg.merge_from_dict(dict(launcher='pytorch', resume=True, load_from=str(folder / 'a.pth')))
    cfg.merge_from_dict(changes)
    return cfg


BATCH = dict(number=3, size=2, passes=2, processes=3, planned=False)
ACCUMULATED = {'optim_wrapper.accumulative_counts': 2}


@pytest.mark.parametrize(
    ('batch', 'changes', 'iterations', 'message'),
    [
        (dict(number=5, size=1), ACCUMULATED, 4, r'share .* 10 samples \(5 processes x 1 x 2 acc'),
        (dict(number=3, size=1), ACCUMULATED, 4, r'4 processes cannot share .* 6 samples'),
        (dict(), ACCUMULATED, 3, r'after 1 of 2 accumulated iterations .* resume with 3, or from'),
        (dict(), {}, 4, r'accumulative_counts=1, and the checkpoint .* 2 on 3 processes: set 2'),
        (dict(), {**ACCUMULATED, 'train_cfg.type': 'MyLoop'}, 4, r"train_cfg\.type='MyLoop' does"),
        (
            dict(),
            {**ACCUMULATED, 'train_dataloader.sampler.type': 'ClassAwareSampler'},
            4,
            r"sampler\.type='ClassAwareSampler' .* batches of 2 cannot be divided into 1: .* 3$",
        ),
        (
            dict(),
            {**ACCUMULATED, 'randomness.diff_rank_seed': True},
            4,
            r'use 3 processes with train_da',
        ),
        (dict(number=2, passes=1), {'optim_wrapper': dict(a=dict())}, 4, r'several optimizers'),
    ],
)
def test_what_cannot_be_continued(tmp_path, monkeypatch, batch, changes, iterations, message):
    monkeypatch.setenv('WORLD_SIZE', '4')
    cfg = resumed(tmp_path, {**BATCH, **batch}, iterations)
    cfg.merge_from_dict(dict(changes))
    if 'optim_wrapper' in changes:
        cfg.optim_wrapper = changes['optim_wrapper']
    with pytest.raises(ConfigError, match=message):
        keep_global_batch(cfg)


def test_what_needs_no_change(tmp_path, monkeypatch):
    """The same processes, a batch that already fits, and checkpoints that do not say."""
    monkeypatch.setenv('WORLD_SIZE', '4')
    batch = dict(number=4, size=3, passes=1, processes=4, planned=False)
    assert keep_global_batch(resumed(tmp_path, batch)) is None  # another batch, on purpose
    batch |= dict(number=8, size=2, processes=8)
    cfg = resumed(tmp_path, batch)
    said = keep_global_batch(cfg)
    assert said == '8 processes x 2 -> 4 processes x 4: global batch 16 stays'
    assert 'micro_batches' not in cfg.train_cfg
    assert keep_global_batch(resumed(tmp_path, dict(number='4'))) is None


@pytest.mark.parametrize(
    'given', [dict(number=8), dict(number=0, size=2), dict(number='8', size=2), dict(num=8, size=2)]
)
def test_micro_batches_of_a_config(tmp_path, given):
    cfg = Config.fromfile(write_config(tmp_path / 'config.py', **IN_EPOCHS))
    cfg.train_cfg.micro_batches = dict(number=8, size=2)
    assert keep_global_batch(cfg) == (
        '8 processes x 2 -> 1 process x 2 x 8 accumulated: global batch 16 stays'
    )
    cfg.train_cfg.micro_batches = given
    with pytest.raises(ConfigError, match=r'train_cfg\.micro_batches=.* must be dict\(number=N'):
        keep_global_batch(cfg)


reduce_mean = torch.mean  # as mmdet's heads import it


class Head(nn.Module):
    """Uses it."""


def test_what_changes_is_reported(caplog):
    """SyncBN, batch norm, and targets counted over processes; by a hand calculation."""
    model = nn.Sequential(nn.BatchNorm2d(3), Head(), nn.BatchNorm2d(3).eval())
    runner = SimpleNamespace(
        model=model,
        cfg=Config(dict(model=dict(norm_cfg=dict(type='SyncBN')))),
        train_loop=SimpleNamespace(plan=MicroBatches(4, 1, started_as=(2, 2))),
        logger=logging.getLogger('report'),
    )
    MicroBatchReportHook(process_means=['reduce_mean']).before_train(runner)
    first, second, third = caplog.messages
    assert first.startswith('Micro-batches have 1 samples instead of 2')
    assert second.startswith('1 SyncBN layers see 1 samples at a time instead of 4')
    assert third.startswith('Head: the number of targets') and '1 processes, 2 at' in third
