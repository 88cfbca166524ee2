"""Raise the error of one process in all processes of a run.

Otherwise the others wait in a collective for a process that has exited, until the launcher kills
them, or forever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.dist import all_gather_object, get_rank

from .errors import CheckpointError, ConfigError

KNOWN = (ConfigError, CheckpointError)


@contextmanager
def shared_errors() -> Iterator[None]:
    """Raise the error of any process in all of them, once all have run the block.

    All processes must enter the block, even those that do nothing in it. It may contain collectives
    only if none of the processes can fail before all have completed them.

    Raises:
        Exception: The process's own error. In a process without one, the error of the first process
            that has one: a ConfigError or CheckpointError with the same message, or a RuntimeError
            that quotes it.
    """
    own: Exception | None = None
    try:
        yield
    except Exception as error:
        own = error
    described = None
    if own is not None:
        kind = next((i for i, known in enumerate(KNOWN) if isinstance(own, known)), None)
        described = (kind, str(own), f'process {get_rank()}: {type(own).__name__}: {own}')
    found = [error for error in all_gather_object(described) if error is not None]
    if own is not None:
        raise own
    if found:
        kind, message, quoted = found[0]
        raise RuntimeError(quoted) if kind is None else KNOWN[kind](message)
