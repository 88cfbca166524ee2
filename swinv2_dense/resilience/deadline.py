"""Time limits for calls into libraries that may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar('T')
_stuck: dict[str, threading.Thread] = {}  # calls that have not returned, by name


class DeadlineError(TimeoutError):
    """A call timed out; the message names it and the limit."""


def call_with_deadline(call: Callable[[], T], seconds: float, name: str) -> T:
    """Run `call()` in a thread of its own and return its result.

    A hang in C code cannot be interrupted, only abandoned. The calling thread just waits, so the
    main thread still handles signals. While a call is stuck, further calls of the same name fail
    immediately: each name leaks at most one thread per process.

    Args:
        call: Must release the GIL wherever it may hang, and not rely on thread-local state.
        seconds: Time limit.
        name: What is being read, for the message.

    Raises:
        DeadlineError: The call did not return in time.
        BaseException: Whatever `call` raises.
    """
    if name in _stuck and _stuck[name].is_alive():
        raise DeadlineError(f'{name}: an earlier attempt still hangs')
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    # A daemon thread does not keep a process from exiting. The executors of the standard library
    # would join it.
    thread = threading.Thread(target=run, name=f'reading {name}', daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _stuck[name] = thread
        raise DeadlineError(f'{name}: no result after {seconds:g} s')
    _stuck.pop(name, None)
    if errors:
        raise errors.pop()  # a reference in this frame would keep the frames of the error alive
    return results[0]
