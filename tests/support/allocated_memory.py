"""Peaks of the memory that a process allocates (Linux).

Files that are mapped into memory do not count: the system drops their pages when it needs them.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MMAP_THRESHOLD = -3  # a constant of glibc


def return_freed_memory() -> None:
    """From now on, return freed memory to the system, so that peaks can be measured."""
    ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 65536)


def allocated() -> int:
    """Bytes."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith('RssAnon'))


@contextmanager
def watched(found: dict, stage: str) -> Iterator[None]:
    """Record the peak in bytes and the seconds of the block."""
    done, peaks = threading.Event(), [0]

    def watch() -> None:
        while not done.wait(0.002):
            peaks.append(max(peaks.pop(), allocated()))

    thread = threading.Thread(target=watch)
    start = time.perf_counter()
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    found[stage] = dict(peak=peaks[0], seconds=time.perf_counter() - start)
