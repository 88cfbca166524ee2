"""One process downloads a file while others that need it wait for the file or for the error.

There are no collectives in here: under FSDP and ZeRO-1 only rank 0 initializes the model, and the
other ranks would never reach a barrier.

The lock is `flock` on a small file next to the download. The kernel, or the server of a network
file system, releases it however its holder exits, so a lock is never stale. Where the file system
has no locks (Lustre mounted without `flock`) or the folder is read-only, the processes of one
machine share a lock in the temporary folder instead.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from mmengine.logging import print_log

from ..errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows: each process downloads on its own
    fcntl = None  # type: ignore[assignment]


def download_once(name: str, file: Path, ready: Callable[[], bool], work: Callable) -> None:
    """Call `work` unless `ready()`, in one process at a time.

    Args:
        name: What is downloaded, for messages.
        file: The lock. It holds the last failure, and is removed after a success.
        ready: Whether there is nothing left to do; called after the lock is acquired.
        work: The download.

    Raises:
        CheckpointError: From `work`. A process that waited while `work` failed in another one
            raises the same error instead of retrying.
    """
    lock, before = _acquire(name, [file, _local_lock(file)])
    try:
        if ready():
            return
        failure = _read(lock)
        if failure != before and failure:
            raise CheckpointError(failure.partition('\n')[2])
        try:
            work()
        except CheckpointError as error:
            # The time makes two failures with equal messages differ.
            _write(lock, f'{time.time_ns()}\n{error}')
            raise
        if lock is not None:
            # Processes that wait for this inode, or create a new one, find the work done.
            Path(lock.name).unlink(missing_ok=True)
    finally:
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a forked child may have the file open too
            lock.close()


def _acquire(name: str, paths: Sequence[Path]) -> tuple[TextIO | None, str]:
    """The first lock that can be taken, or None, and the failure that it held before waiting."""
    for path in paths if fcntl else ():
        try:
            lock = open(path, 'r+', encoding='utf-8', opener=_create)  # noqa: SIM115
        except OSError:
            continue
        try:
            before = _read(lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print_log(f'Waiting for another process to download {name}', 'current')
                fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # no locks on this file system, or the file was removed remotely
            lock.close()
            continue
        except BaseException:
            lock.close()
            raise
        return lock, before
    return None, ''


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def _local_lock(file: Path) -> Path:
    """A lock for the processes of this machine."""
    user = os.getuid() if hasattr(os, 'getuid') else ''
    digest = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f'swinv2_dense-{user}-{digest}.lock')


def _read(lock: TextIO | None) -> str:
    if lock is None:
        return ''
    lock.seek(0)
    return lock.read()


def _write(lock: TextIO | None, text: str) -> None:
    if lock is not None:
        lock.seek(0)
        lock.truncate()
        lock.write(text)
        lock.flush()
