"""Write files so that they are never half-written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from .errors import CheckpointError


def write_file(path: Path, content: bytes, writer: str = '') -> None:
    """Write a file so that it is, at any moment and after a loss of power, the old or the new one.

    Args:
        writer: Tells processes apart that write the same file at once; the last one stays.

    Raises:
        CheckpointError: The disk is full; the old file is intact.
    """
    part = path.with_name(f'.{path.name}{writer}.part')
    try:
        with part.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        free = shutil.disk_usage(path.parent).free
        raise CheckpointError(
            f'{path} cannot be written: {error.strerror}; it takes {len(content) / 2**20:.1f} MiB '
            f'and {free / 2**20:.1f} MiB are free. Files written before are intact. Make room and '
            'go on with --resume; --keep N bounds the number of checkpoints.'
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make the new name last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
