"""SIGTERM to trainings in their own processes, compared with uninterrupted trainings."""

from __future__ import annotations

import copy
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from same_training import KINDS, Training, assert_same_checkpoints

from swinv2_dense.resilience.preemption import STATUS

pytestmark = pytest.mark.filterwarnings('ignore')
SHORT = ('train_cfg.max_epochs=2',)  # of 7 steps


def names(training: Training, work: str) -> set[str]:
    return {path.name for path in (training.folder / work).glob('*.pth')}


@pytest.fixture(scope='module')
def training(tmp_path_factory: Any) -> Training:
    training = Training(tmp_path_factory.mktemp('preemption'), 'by_epoch', *SHORT)
    assert training.run('whole') == 0, training.log('whole')
    return training


def test_the_step_is_finished_and_saved(training):
    """In the middle of an epoch, between two batches with accumulated gradients.

    The loaders' workers get the signal, too, as from a scheduler.
    """
    assert training.run('work', num_workers=2, FAULT='term:4') == STATUS
    work = training.folder / 'work'
    assert names(training, 'work') == {'preempted.pth'}
    assert (work / 'last_checkpoint').read_text() == str(work / 'preempted.pth')
    assert training.run('work', '--resume') == 0, training.log('work')
    assert 'resumed epoch: 0, iter: 5' in training.log('work')
    (work / 'preempted.pth').unlink()
    assert_same_checkpoints(work, training.folder / 'whole', '*.pth')


def test_it_saves_even_if_the_config_saves_nothing(training):
    unsaved = copy.copy(training)
    unsaved.options = (*training.options, 'default_hooks.checkpoint=None')
    assert unsaved.run('none', FAULT='term:4') == STATUS, training.log('none')
    work = training.folder / 'none'
    assert names(training, 'none') == {'preempted.pth'}
    assert (work / 'last_checkpoint').read_text() == str(work / 'preempted.pth')
    assert training.run('none', '--resume') == 0, training.log('none')
    assert 'resumed epoch: 0, iter: 5' in training.log('none')
    assert_same_checkpoints(work, training.folder / 'whole', 'epoch_2.pth')


def test_in_validation_the_last_checkpoint_is_kept(training):
    assert training.run('validating', FAULT='term_validating:14') == STATUS
    assert {'epoch_1.pth', 'epoch_2.pth'} <= names(training, 'validating')
    assert 'preempted.pth' not in names(training, 'validating')
    again = dict(FAULT='term_validating:14')  # now in the validation that comes first
    assert training.run('validating', '--resume', num_workers=2, **again) == STATUS
    assert training.run('validating', '--resume') == 0, training.log('validating')
    assert_same_checkpoints(training.folder / 'validating', training.folder / 'whole', '*.pth')


def test_a_second_signal_exits_immediately(training):
    assert training.run('twice', FAULT='term_twice:3') == -signal.SIGTERM
    assert names(training, 'twice') == set()


def ended(pid_file: Any) -> bool:
    """Whether the process has exited; it may be a zombie."""
    stat = Path('/proc', pid_file.read_text(), 'stat')
    for _ in range(50):
        if not stat.exists() or stat.read_text().rpartition(')')[2].split()[0] == 'Z':
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    'workers, kind',
    [
        (2, 'gil'),
        pytest.param(0, 'sleep', marks=pytest.mark.slow),
        pytest.param(2, 'sleep', marks=pytest.mark.slow),
    ],
)
def test_no_data_comes_for_the_next_step(training, workers, kind, tmp_path):
    """The state after the last step is saved, and a worker that ignores signals is killed."""
    work, pid = tmp_path / 'work', tmp_path / 'pid'
    hanging = dict(FAULT='term_later:1', HANG=f'{kind}:5', HANG_PID=pid)
    assert training.run(work, num_workers=workers, **hanging) == STATUS, training.log(work)
    assert 'no data for the next step: saved' in training.log(work)
    assert {path.name for path in work.glob('*.pth')} == {'preempted.pth'}
    assert workers == 0 or ended(pid)
    assert training.run(work, '--resume') == 0, training.log(work)
    assert 'resumed epoch: 0, iter: ' in training.log(work)
    (work / 'preempted.pth').unlink()
    assert_same_checkpoints(work, training.folder / 'whole', '*.pth')


def test_a_second_signal_also_kills_workers_that_hang(training, tmp_path):
    pid = tmp_path / 'pid'
    hanging = dict(FAULT='term_later_twice:1', HANG='gil:5', HANG_PID=pid)
    assert training.run('both', num_workers=1, **hanging) == -signal.SIGTERM
    assert ended(pid)


def test_one_of_two_processes_gets_the_signal(tmp_path):
    """Both exit with the status after the second of two accumulated batches. After resuming they
    reach the same bits as an uninterrupted run.
    """
    options = ('model.norm=False', 'train_cfg.max_iters=9', 'default_hooks.checkpoint.interval=9')
    training = Training(tmp_path, 'by_step', *options)
    assert training.run_two('whole', '--deterministic') == [0, 0], training.log('whole')
    ends = training.run_two('work', '--deterministic', FAULT='term:4', FAULT_RANK=1)
    assert ends == [STATUS, STATUS], training.log('work')
    assert names(training, 'work') == {'preempted.pth'}
    ends = training.run_two('work', '--deterministic', '--resume')
    assert ends == [0, 0], training.log('work')
    assert 'resumed epoch: 0, iter: 6' in training.log('work')
    assert_same_checkpoints(tmp_path / 'work', tmp_path / 'whole', 'iter_9.pth')


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('steps', range(1, 27, 5))
def test_at_any_step(kind, steps, tmp_path):
    training = Training(tmp_path, kind)
    assert training.run('whole') == 0, training.log('whole')
    assert training.run('work', FAULT=f'term:{steps}', num_workers=steps % 3) == STATUS
    assert training.run('work', '--resume', num_workers=steps % 2) == 0, training.log('work')
    (tmp_path / 'work' / 'preempted.pth').unlink()
    assert_same_checkpoints(tmp_path / 'work', tmp_path / 'whole', '*.pth')
