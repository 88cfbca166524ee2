"""An error in one process of a run ends all of them, instead of leaving the others in a collective.

Without this, processes wait for one that has ended: until the launcher kills them, or forever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.dist import all_gather_object, get_rank

from .errors import CheckpointError, ConfigError

KNOWN = (ConfigError, CheckpointError)


@contextmanager
def shared_errors() -> Iterator[None]:
    """Raise the error of any process in all of them, when all have run the body.

    All processes must enter. The body itself may do nothing in some of them. It may hold
    collectives only if all processes get through them before any of them can fail.

    Raises:
        Exception: This process's own error; else, for the first process with an error, a
            ConfigError or CheckpointError with the same message, or a RuntimeError that quotes it.
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
