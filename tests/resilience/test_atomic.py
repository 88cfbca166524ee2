"""Checkpoint writes are atomic, in processes that are killed and on disks that are full."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from same_training import Training
from toy_training import ends, fill_disk

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.resilience.atomic_checkpoints import latest_complete, resume_last

pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Captures mmengine's log, which does not propagate."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def save(path: Path, when: int) -> Path:
    """Save a checkpoint with a modification time."""
    torch.save(dict(state_dict=dict(weight=torch.zeros(100))), path)
    os.utime(path, (when, when))
    return path


def truncate(path: Path) -> None:
    stat = path.stat()
    with path.open('rb+') as file:
        file.truncate(stat.st_size - 30)  # cuts the table of contents; all tensors are there
    os.utime(path, (stat.st_mtime, stat.st_mtime))


def settings(work_dir: Path, **hook: Any) -> Config:
    checkpoint = dict(type='CheckpointHook', **hook)
    return Config(dict(work_dir=str(work_dir), default_hooks=dict(checkpoint=checkpoint)))


def test_the_latest_complete_checkpoint_is_found(tmp_path, log):
    old, middle, new = (save(tmp_path / f'iter_{10 * i}.pth', 1000 + i) for i in (3, 2, 1))
    save(tmp_path / 'best_score_iter_20.pth', 2000)  # without a training state
    save(tmp_path / 'iter_20-1a2b3c4d.pth', 2000)  # published
    pointer = tmp_path / 'last_checkpoint'
    cfg = settings(tmp_path)
    assert latest_complete(cfg) == str(old)  # by time, not by number
    pointer.write_text(str(middle))
    assert latest_complete(cfg) == str(middle)
    assert not log.messages
    truncate(middle)
    assert latest_complete(cfg) == str(old)
    pointer.write_text(str(tmp_path / 'elsewhere' / 'iter_99.pth'))
    truncate(old)
    assert latest_complete(cfg) == str(new)
    for named, warning in zip(('iter_20.pth', 'iter_99.pth'), log.messages, strict=True):
        assert named in warning
    assert str(old) in log.messages[0]
    assert str(new) in log.messages[1]


def test_nothing_to_resume_starts_from_the_beginning(tmp_path, log):
    truncate(save(tmp_path / 'epoch_1.pth', 1000))
    (tmp_path / 'last_checkpoint').write_text('')  # as mmengine leaves it if killed at this moment
    cfg = settings(tmp_path)
    cfg.load_from = 'pretrained.pth'
    resume_last(cfg)
    assert (cfg.resume, cfg.load_from) == (False, 'pretrained.pth')
    assert 'no other found' in log.messages[0]
    assert f'No checkpoint to resume in {tmp_path}' in log.messages[1]


def test_file_names_of_the_config_are_found(tmp_path, log):
    path = save(tmp_path / 'state-007.pth', 1000)
    assert latest_complete(settings(tmp_path)) is None
    assert latest_complete(settings(tmp_path, filename_tmpl='state-{:03d}.pth')) == str(path)


def test_a_full_disk(tmp_path):
    """On a file system of 1 MiB: ENOSPC comes from the kernel, in a process with its own mount."""
    (tmp_path / 'disk').mkdir()
    process = forked.start(fill_disk, (str(tmp_path), str(tmp_path / 'said')))
    (status,) = ends([process], 60)
    if status == 77:
        pytest.skip('file systems cannot be mounted here')
    assert status == 0
    message, content, files = (tmp_path / 'said').read_text().split('\n')
    assert 'a.pth cannot be written: No space left on device; it takes 0.6 MiB and 0.4' in message
    assert 'Files written before are intact' in message
    assert (content, files) == ('old', 'a.pth')


def test_a_training_on_a_full_disk(tmp_path):
    """A limit on file sizes stands in for the disk."""
    training = Training(tmp_path, 'by_epoch', 'train_cfg.max_epochs=2')
    assert training.run('work', FAULT='full:14') == 2
    work = tmp_path / 'work'
    (line,) = (line for line in training.log('work').splitlines() if line.startswith('error: '))
    assert f'{work}/epoch_2.pth cannot be written: File too large; it takes' in line
    assert 'MiB are free' in line
    assert read_checkpoint_file(work / 'epoch_1.pth')['meta']['iter'] == 7
    assert not [*work.glob('*_2.pth'), *work.glob('.*')]
    assert training.run('work', '--resume') == 0
    assert 'resumed epoch: 1, iter: 7' in training.log('work')


def test_keep(tmp_path):
    """Also if the process is killed between writing a checkpoint and removing an old one."""
    options = ('default_hooks.checkpoint.interval=2', 'train_cfg.val_interval=10')
    training = Training(tmp_path, 'by_step', *options, 'train_cfg.max_iters=10')
    assert training.run('work', '--keep', 2, FAULT='removing:4') == -signal.SIGKILL
    files = {path.name for path in (tmp_path / 'work').glob('*.pth')}
    assert files == {'iter_2.pth', 'iter_4.pth', 'iter_6.pth'}
    assert training.run('work', '--keep', 2, '--resume') == 0
    files = {path.name for path in (tmp_path / 'work').glob('*.pth')}
    assert files == {'iter_8.pth', 'iter_10.pth', 'best_score_iter_10.pth'}


def test_keep_must_keep_one(tmp_path):
    training = Training(tmp_path, 'by_step')
    assert training.run('work', '--keep', 0) == 2
    assert 'error: --keep=0: at least one checkpoint must be kept' in training.log('work')


def test_a_checkpoint_cannot_cause_other_files_to_be_removed(tmp_path):
    """It names the previous best checkpoint, which the run removes when it saves a better one."""
    training = Training(tmp_path, 'by_step', 'train_cfg.max_iters=14')
    assert training.run('work') == 0
    victim = tmp_path / 'victim.pth'
    victim.write_text('of somebody else')
    checkpoint = read_checkpoint_file(tmp_path / 'work' / 'iter_7.pth')
    info = checkpoint['message_hub']['runtime_info']
    info.update(best_score=-1e9, best_ckpt=str(victim))
    torch.save(checkpoint, tmp_path / 'hostile.pth')
    assert training.run('other', '--resume', tmp_path / 'hostile.pth') == 0
    assert 'The best checkpoint with' in training.log('other')
    assert victim.exists()
