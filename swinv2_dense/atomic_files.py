"""Replace files and folders atomically: readers see the old one or the new one, never a part.

Each step of `replacing` needs the one before:

    write         .NAME.TOKEN.part, beside NAME: a rename across file systems would be a copy
    fsync file    before the rename, or a power loss may leave NAME on an empty file
    rename        NAME is the new file from here on
    fsync folder  the rename itself survives a power loss
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_NAME = 200  # bytes of it in the name of a draft; file systems take 255 in all


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically and durably."""
    with replacing(path) as draft:
        draft.write_bytes(content)


@contextmanager
def replacing(path: Path, durable: bool = True, keep_suffix: bool = False) -> Iterator[Path]:
    """Yield a draft, a free name for a file or folder, that replaces `path` after the block.

    If the block fails, the draft is removed and `path` stays as it was. Processes and threads may
    replace the same file at once; the last one wins.

    Args:
        durable: Also survive a power loss. Turn it off for files that come by the thousands and
            can be made again.
        keep_suffix: For libraries that choose the format by the suffix. Without it, no pattern
            such as *.jpg matches the draft of a process that was killed.
    """
    draft = draft_of(path, secrets.token_hex(4), path.suffix if keep_suffix else '')
    try:
        yield draft
        if durable and draft.is_file():
            _sync(draft, os.O_RDWR)  # Windows cannot sync what is open for reading
        os.replace(draft, path)
        if durable and os.name == 'posix':  # Windows cannot open folders
            _sync(path.parent, os.O_RDONLY)
    except OSError as error:
        if error.filename is not None and str(error.filename) == str(draft):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        remove(draft)


def draft_of(path: Path, token: str, suffix: str = '') -> Path:
    """The name of a draft; processes that write one together must agree on its `token`."""
    name = path.name.encode()[:LONGEST_NAME].decode(errors='ignore')
    return path.with_name(f'.{name}.{token}.part{suffix}')


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
