"""Trainings that continue with another number of processes, against the one without interruption.

Losses are those that the log shows. Samples are augmented at random, weights are clipped by their
norm, and the learning rate changes in every iteration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from commands import SUPPORT
from elastic_training import IN_EPOCHS, IN_STEPS, write_config
from forked import run_ranks
from torch.testing import assert_close

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.distributed.parameters import unwrapped_name

pytest.importorskip('mmseg')
STEPS = 6
SAME = dict(atol=1e-6, rtol=1e-6)


class Runs:
    """Runs of a config in work directories of one folder."""

    def __init__(self, folder: Path, fragment: str | None = None, **settings: object) -> None:
        self.folder = folder
        self.config = write_config(folder / 'config.py', fragment, **settings)
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
    return Runs(folder, base, **IN_STEPS)


def test_1_2_1(tmp_path):
    runs = sharded(tmp_path, 'ddp')
    runs.train('one', 1)
    runs.resume('two', 2, 'one', 2)
    assert '1 process x 4 -> 2 processes x 2: global batch 4 stays' in runs.printed
    assert 'Micro-batches have 2 samples instead of 4' in runs.printed
    runs.assert_continued('two', 'one', 2)
    runs.resume('again', 1, 'two', 4)
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
        assert '2 processes x 2 -> 1 process x 2 x 2 accumulated' in runs.printed
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
