"""Two trainings in one work directory: the second is refused, unless the first is dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from commands import ROOT

from swinv2_dense.cli.train import main as train
from swinv2_dense.errors import ConfigError
from swinv2_dense.resilience import work_dir_lock
from swinv2_dense.resilience.work_dir_lock import DEAD_AFTER, NAME, lock_work_dir

# A process that holds a lock until its stdin is closed. It imports two files, without torch.
HOLDER = """
import importlib.util, sys, types
package = types.ModuleType('p'); package.__path__ = [sys.argv[1]]; sys.modules['p'] = package
sub = types.ModuleType('p.resilience'); sub.__path__ = [sys.argv[1] + '/resilience']
sys.modules['p.resilience'] = sub
from p.resilience.work_dir_lock import lock_work_dir
with lock_work_dir(sys.argv[2]):
    print('locked', flush=True)
    sys.stdin.read()
"""
PACKAGE = str(Path(work_dir_lock.__file__).resolve().parents[1])


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', HOLDER, PACKAGE, tmp_path / 'work'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'locked\n'
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_with_holder_and_time(holder, tmp_path):
    with pytest.raises(ConfigError) as error, lock_work_dir(tmp_path / 'work'):
        pass
    message = str(error.value)
    assert message.count('\n') == 0 and str(tmp_path / 'work') in message
    assert f'process {holder.pid} on {os.uname().nodename}' in message
    assert time.strftime('since %Y-%m-%d') in message
    holder.communicate()  # it exits normally
    with lock_work_dir(tmp_path / 'work'):
        assert (tmp_path / 'work' / NAME).is_file()
    assert not (tmp_path / 'work').exists()  # nothing was written there


def test_the_lock_of_a_killed_process_is_taken_over(holder, tmp_path):
    holder.kill()
    holder.communicate()
    lock = tmp_path / 'work' / NAME
    assert lock.is_file()
    with lock_work_dir(tmp_path / 'work'):
        assert json.loads(lock.read_text())['pid'] == os.getpid()
    assert not lock.exists()


def written(folder: Path, age: float = 0.0, **changes: object) -> Path:
    """Write the lock of this process with changes, as if it were `age` seconds old."""
    with lock_work_dir(folder):
        content = json.loads((folder / NAME).read_text())
    folder.mkdir(exist_ok=True)
    lock = folder / NAME
    lock.write_text(json.dumps(content | changes))
    os.utime(lock, (time.time() - age,) * 2)
    return lock


@pytest.mark.parametrize(
    ('changes', 'age', 'is_dead'),
    [
        ({}, 0, False),
        ({}, 10 * DEAD_AFTER, False),  # on the same machine, the age does not matter
        (dict(started='1'), 0, True),  # the PID was reused
        (dict(boot='another'), 0, True),  # the machine was restarted
        (dict(host='elsewhere'), 60, False),
        (dict(host='elsewhere'), DEAD_AFTER + 10, True),
        (dict(namespace='of a container'), 60, False),
        (dict(namespace='of a container'), DEAD_AFTER + 10, True),
    ],
)
def test_who_counts_as_dead(tmp_path, changes, age, is_dead):
    lock = written(tmp_path / 'work', age, **changes)
    if is_dead:
        with lock_work_dir(tmp_path / 'work'):
            pass
        return
    with pytest.raises(ConfigError) as error, lock_work_dir(tmp_path / 'work'):
        pass
    assert str(lock) in str(error.value)
    assert ('delete' in str(error.value)) is ('host' in changes)
    assert lock.is_file() and len(list(lock.parent.iterdir())) == 1


@pytest.mark.parametrize('content', ['', 'not JSON', '[]'])
def test_an_unreadable_lock_counts_by_its_age(tmp_path, content):
    (tmp_path / NAME).write_text(content)
    with (
        pytest.raises(ConfigError, match='another training is running'),
        lock_work_dir(tmp_path),
    ):
        pass
    os.utime(tmp_path / NAME, (time.time() - DEAD_AFTER - 10,) * 2)
    with lock_work_dir(tmp_path):
        pass


def test_it_is_released_after_an_error_and_empty_folders_are_removed(tmp_path):
    with pytest.raises(KeyError), lock_work_dir(tmp_path / 'a' / 'b'):
        raise KeyError
    assert not (tmp_path / 'a' / 'b').exists()
    with lock_work_dir(tmp_path / 'c'):
        (tmp_path / 'c' / 'log').touch()
    assert [path.name for path in (tmp_path / 'c').iterdir()] == ['log']
    (tmp_path / 'file').touch()
    with pytest.raises(ConfigError, match='--work-dir'), lock_work_dir(tmp_path / 'file'):
        pass


def test_the_holder_renews_it(tmp_path, monkeypatch):
    monkeypatch.setattr(work_dir_lock, 'HEARTBEAT', 0.01)
    with lock_work_dir(tmp_path):
        os.utime(tmp_path / NAME, (0, 0))
        end = time.monotonic() + 5
        while (tmp_path / NAME).stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert time.time() - (tmp_path / NAME).stat().st_mtime < 5


@pytest.mark.parametrize('links', [True, False])
def test_one_of_many_contenders_gets_it(tmp_path, monkeypatch, links):
    """Also next to the lock of a dead process, and on file systems without hard links."""
    if not links:

        def refuse(*_: object) -> None:
            raise PermissionError(1, 'no links here')

        monkeypatch.setattr(os, 'link', refuse)
    written(tmp_path, started='1')
    got, refused, gate, done = [], [], threading.Barrier(8), threading.Barrier(8)

    def contend() -> None:
        gate.wait()
        try:
            with lock_work_dir(tmp_path):
                got.append(1)
                done.wait()
        except ConfigError:
            refused.append(1)
            done.wait()

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(got), len(refused)) == (1, 7)


def test_a_training_takes_the_lock_first(tmp_path):
    (config,) = ROOT.glob('configs/quickstart/htc*.py')
    with (
        lock_work_dir(tmp_path / 'work'),
        pytest.raises(ConfigError, match='another training is running'),
    ):
        train([str(config), '--work-dir', str(tmp_path / 'work')])
