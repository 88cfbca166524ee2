"""One process downloads a file while others that need it wait for the file or for the error.

There are no collectives in here: under FSDP and ZeRO-1 only rank 0 initializes the model, and the
other ranks would never reach a barrier.

The lock is a small file beside the download, see `file_locks`. Where the file system has no locks
(Lustre mounted without `flock`) or the folder cannot be written, the processes of one machine share
a lock in the folder for temporary files instead.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mmengine.logging import print_log

from ..errors import CheckpointError
from ..file_locks import acquire, read, release, write


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

    def on_wait() -> None:
        print_log(f'Waiting for another process that downloads {name}', 'current')

    lock, before = acquire([file, _local_lock(file)], on_wait)
    try:
        if ready():
            return
        failure = read(lock)
        if failure != before and failure:
            raise CheckpointError(failure.partition('\n')[2])
        try:
            work()
        except CheckpointError as error:
            # The time makes two failures with equal messages differ.
            write(lock, f'{time.time_ns()}\n{error}')
            raise
        if lock is not None:
            # Processes that wait for this inode, or create a new one, find the work done.
            Path(lock.name).unlink(missing_ok=True)
    finally:
        release(lock)


def _local_lock(file: Path) -> Path:
    """A lock for the processes of this machine."""
    user = os.getuid() if hasattr(os, 'getuid') else ''
    digest = hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f'swinv2_dense-{user}-{digest}.lock')
