"""Exclusive locks of small files, where the system and the file system have them.

They are taken with `flock`. The kernel, or the server of a network file system, releases such a
lock when its holder ends in whatever way, so it is never stale. A training holds its work directory
with a lock of another kind (`resilience.work_dir_lock`): it must exclude other trainings everywhere
and name them, while these locks only save work that is done twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ImportError:  # Windows: nobody waits for anybody
    fcntl = None


def acquire(
    places: Sequence[Path], on_wait: Callable[[], object] = lambda: None
) -> tuple[TextIO | None, str]:
    """Wait for the lock of the first of `places` that can be locked.

    Returns:
        The open file, for `release`, and what it held before the wait; None if no place has locks.
    """
    for place in places if fcntl else ():
        try:
            lock = open(place, 'r+', encoding='utf-8', opener=_create)  # noqa: SIM115
        except OSError:
            continue
        try:
            before = read(lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # no locks here, or the file was removed on another machine
            lock.close()
            continue
        except BaseException:
            lock.close()
            raise
        return lock, before
    return None, ''


def release(lock: TextIO | None) -> None:
    if lock is not None:
        fcntl.flock(lock, fcntl.LOCK_UN)  # a forked child may have the file open, too
        lock.close()


def read(lock: TextIO | None) -> str:
    if lock is None:
        return ''
    lock.seek(0)
    return lock.read()


def write(lock: TextIO | None, text: str) -> None:
    if lock is not None:
        lock.seek(0)
        lock.truncate()
        lock.write(text)
        lock.flush()


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o666)
