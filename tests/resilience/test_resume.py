"""Trainings that are killed and resumed, against the same training without interruption.

Equal means every bit of the last checkpoint: weights, averaged weights, optimizer, schedules, logs,
and which checkpoint was the best.
"""

from __future__ import annotations

import copy
import os
import signal
import time
from typing import Any

import pytest
from earlier_version import write_earlier
from same_training import KINDS, Detector, Segmentor, Training, assert_same_checkpoints, workers
from toy_training import HALF_WRITTEN, ends, start

pytestmark = pytest.mark.filterwarnings('ignore')
KILLED, STOPPED_WRITING = -signal.SIGKILL, -signal.SIGXFSZ


VARIANTS = dict(
    in_epochs_by_step=(
        'by_epoch',
        'default_hooks.checkpoint.by_epoch=False',
        'default_hooks.checkpoint.interval=3',
    ),
    in_steps_of_epochs=('by_step', 'train_dataloader.sampler.type=DefaultSampler'),
    flexible=(
        'flexible',
        'runner_type=FlexibleRunner',
        'strategy.type=SingleDeviceStrategy',
        'env_cfg.cudnn_benchmark=False',  # FlexibleRunner needs an env_cfg
    ),
)


@pytest.fixture(scope='module', params=KINDS)
def training(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Training:
    """An uninterrupted training in the folder `whole`, which records its data in `draws`."""
    training = Training(tmp_path_factory.mktemp(request.param), request.param)
    assert training.run('whole', DRAWS=training.folder / 'draws') == 0, training.log('whole')
    return training


def test_every_fault_in_turn(training):
    """Killed in a step, in a validation and while writing a checkpoint; with other workers."""
    work = training.folder / 'work'
    assert training.run('work', num_workers=2, FAULT='kill:10') == KILLED
    assert training.run('work', '--resume', FAULT='killed_validating:14') == KILLED
    assert training.run('work', '--resume', num_workers=2, FAULT='writing:21') == STOPPED_WRITING
    (half,) = work.glob('.*.part')
    assert half.stat().st_size == HALF_WRITTEN
    half.with_name('.other.pth.part').touch()  # of a checkpoint that is never written again
    assert training.run('work', '--resume') == 0, training.log('work')
    assert not [*work.glob('.*.part')]
    assert_same_checkpoints(work, training.folder / 'whole', '*.pth')


def test_the_number_of_workers_changes_nothing(training):
    assert training.run('two', num_workers=2) == 0
    assert_same_checkpoints(training.folder / 'two', training.folder / 'whole', '*.pth')


def test_no_data_is_loaded_for_skipped_steps(training):
    """A run with another seed keeps the seed of the checkpoint, and its data order."""
    names = dict(by_epoch=('epoch_2.pth', 'epoch_4.pth'), by_step=('iter_14.pth', 'iter_28.pth'))
    middle, last = names[training.kind]
    resumed, draws = training.folder / 'resumed', training.folder / 'draws_resumed'
    flags = ('--resume', training.folder / 'whole' / middle, '--seed', 4)
    assert training.run('resumed', *flags, DRAWS=draws) == 0, training.log('resumed')
    drawn, all_drawn = (path.read_text().split() for path in (draws, training.folder / 'draws'))
    assert 28 <= len(drawn) < len(all_drawn)  # two for each of 14 steps, and rejected ones
    assert drawn == all_drawn[-len(drawn) :]
    assert_same_checkpoints(resumed, training.folder / 'whole', last)


def test_a_training_of_an_earlier_version(training):
    """Its saved config and its checkpoint continue as if nothing had been renamed since."""
    name = dict(by_epoch='epoch_2.pth', by_step='iter_14.pth')[training.kind]
    work, earlier = training.folder / 'earlier', copy.copy(training)
    earlier.config, checkpoint = write_earlier(training.folder / 'whole', work, name)
    assert earlier.run('earlier', '--resume', checkpoint) == 0, training.log('earlier')
    last = dict(by_epoch='epoch_4.pth', by_step='iter_28.pth')[training.kind]
    assert_same_checkpoints(work, training.folder / 'whole', last)


@pytest.mark.slow
def test_a_segmentor(tmp_path):
    """A config of this package, killed in validation."""
    segmentor = Segmentor(tmp_path)
    assert segmentor.run('whole') == 0, segmentor.log('whole')
    assert segmentor.run('work', FAULT='killed_validating:2') == KILLED
    assert segmentor.run('work', '--resume', num_workers=2) == 0, segmentor.log('work')
    assert_same_checkpoints(tmp_path / 'work', tmp_path / 'whole', '*.pth')


# ------------------------------------------------------------------------------- longer proofs


@pytest.mark.slow
@pytest.mark.parametrize('kind', [*KINDS, 'in_epochs_by_step', 'in_steps_of_epochs', 'flexible'])
@pytest.mark.parametrize('fault', ['kill', 'killed_validating', 'writing'])
@pytest.mark.parametrize('num_workers', [0, 2])
def test_each_fault_alone(kind, fault, num_workers, tmp_path):
    """Also in the middle of an epoch, and across epochs of an iteration-based loop."""
    training = Training(tmp_path, *VARIANTS.get(kind, (kind,)))
    assert training.run('whole') == 0, training.log('whole')
    steps = dict(kill=17, killed_validating=14, writing=21)[fault]
    status = STOPPED_WRITING if fault == 'writing' else KILLED
    assert training.run('work', num_workers=num_workers, FAULT=f'{fault}:{steps}') == status
    assert training.run('work', '--resume', num_workers=num_workers) == 0, training.log('work')
    assert_same_checkpoints(tmp_path / 'work', tmp_path / 'whole', '*.pth')


@pytest.mark.slow
def test_a_detector(tmp_path):
    """HTC++ with mmdet's components, killed in a step and in validation."""
    detector = Detector(tmp_path)
    assert detector.run('whole') == 0, detector.log('whole')
    assert detector.run('work', num_workers=2, FAULT='kill:3') == KILLED
    assert detector.run('work', '--resume', FAULT='killed_validating:4') == KILLED
    assert detector.run('work', '--resume', num_workers=2) == 0, detector.log('work')
    assert_same_checkpoints(tmp_path / 'work', tmp_path / 'whole', '*.pth')


@pytest.mark.slow
def test_an_epoch_of_another_length_starts_over(tmp_path):
    at_once = 'optim_wrapper.accumulative_counts=1'  # mmengine's accumulation depends on the length
    training = Training(tmp_path, *VARIANTS['in_epochs_by_step'], at_once)
    assert training.run('work', FAULT='kill:12') == KILLED
    training.options = (*training.options, 'train_dataloader.batch_size=7')
    assert training.run('work', '--resume') == 0, training.log('work')
    assert 'after 5 of 7 steps of an epoch, which has 2 steps now' in training.log('work')


@pytest.mark.slow
def test_workers_of_a_killed_process_exit(tmp_path):
    """Also those whose batch does not fit into a pipe."""
    detector = Detector(tmp_path)
    flags = ['--work-dir', tmp_path / 'work', '--cfg-options', *workers(2), *detector.options]
    process = start([detector.config, *flags], tmp_path / 'work.log', FAULT='kill:1')
    assert ends([process], 300) == [KILLED], detector.log('work')
    for _ in range(60):
        time.sleep(0.5)
        try:
            os.killpg(process.pid, 0)  # the group of the process and its workers
        except ProcessLookupError:
            return
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail('workers are left')
