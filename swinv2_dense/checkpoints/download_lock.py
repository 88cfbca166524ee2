"""One process downloads a file while the others that need it wait for the file or for the error.

There is no collective operation in here: under FSDP and ZeRO-1 only rank 0 initializes the model,
and the other ranks would never reach a barrier.

The lock is `flock` on a small file beside the download. The kernel, or the server of a network file
system, releases it when its holder ends in whatever way, so a lock is never stale. Where the file
system has no locks (Lustre mounted without `flock`) or the folder cannot be written, the processes
of one machine share a lock in the folder for temporary files instead.
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
except ImportError:  # Windows: each process downloads for itself
    fcntl = None


def download_once(name: str, file: Path, ready: Callable[[], bool], work: Callable) -> None:
    """Call `work` unless `ready()`, in one process at a time.

    Args:
        name: What is downloaded, for messages.
        file: The lock. It holds the last failure, and is removed after a success.
        ready: Whether there is nothing left to do. It is asked again after waiting.
        work: The download.

    Raises:
        CheckpointError: From `work`. A process that waited while `work` failed in another one
            raises the same error instead of trying again.
    """
    lock, before = _acquire(name, [file, _place_on_this_machine(file)])
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
            # Whoever waits for this inode, or creates another one, finds that the work is done.
            Path(lock.name).unlink(missing_ok=True)
    finally:
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a forked child may have the file open, too
            lock.close()


def _acquire(name: str, places: Sequence[Path]) -> tuple[TextIO | None, str]:
    """The first lock that can be taken, and the failure in it before waiting; None without any."""
    for place in places if fcntl else ():
        try:
            lock = open(place, 'r+', encoding='utf-8', opener=_create)  # noqa: SIM115
        except OSError:
            continue
        try:
            before = _read(lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print_log(f'Waiting for another process that downloads {name}', 'current')
                fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # no locks here, or the file was removed on another machine
            lock.close()
            continue
        except BaseException:
            lock.close()
            raise
        return lock, before
    return None, ''


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def _place_on_this_machine(file: Path) -> Path:
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
