"""Cache the results of slow checks on disk, for restarts and for other processes.

A file lock makes one process per machine run a check while the others wait and read its result,
even before the process group is initialized. Results are stored in the folder given by the
environment variable SWINV2_DENSE_CACHE, by default `~/.cache/swinv2_dense`; it may be deleted at
any time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..atomic_files import write_bytes
from ..file_locks import acquire, release

BLOCK = 2**20


def cache_folder() -> Path:
    """A writable folder for results; a temporary one if the home folder is not writable."""
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join('~', '.cache')
    chosen = os.environ.get('SWINV2_DENSE_CACHE') or os.path.join(base, 'swinv2_dense')
    folder = Path(os.path.expanduser(chosen))
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return _temporary_folder()


@functools.lru_cache(maxsize=1)
def _temporary_folder() -> Path:
    user = os.getuid() if hasattr(os, 'getuid') else 0  # as `stat` has it on Windows
    folder = Path(tempfile.gettempdir(), f'swinv2_dense-{user}')
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid == user:
            return folder
    return Path(tempfile.mkdtemp(prefix='swinv2_dense-'))


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, cached until the file changes."""
    state = os.stat(path)
    return _digest(os.path.abspath(path), state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=64)
def _digest(path: str, modified: int, size: int) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def key_of(*parts: Any) -> str:
    """A short key for JSON-serializable values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def cached(key: str, compute: Callable[[], dict], is_valid: Callable[[dict], bool]) -> dict:
    """A JSON-serializable result, computed once per key and machine.

    Args:
        key: See `key_of`.
        compute: Computes the result.
        is_valid: Whether a stored result may be reused. A result that another process computed
            while this one waited is always used, so that all processes of a run agree.
    """
    path = cache_folder() / f'{key}.json'
    asked = time.time()
    lock, _ = acquire([path.with_suffix('.lock')])  # without locks, each process checks
    try:
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads(path.read_text(encoding='utf-8'))
            if stored['time'] >= asked or is_valid(stored['result']):
                return stored['result']
        result = compute()
        with suppress(OSError):  # a full disk must not stop a training
            write_bytes(path, json.dumps(dict(time=time.time(), result=result)).encode())
        return result
    finally:
        release(lock)
