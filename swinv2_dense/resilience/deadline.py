"""A time limit for calls into libraries that may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar('T')
_stuck: dict[str, threading.Thread] = {}  # by name: calls that have not returned


class DeadlineError(TimeoutError):
    """A call took too long; the message says what and how long."""


def call_with_deadline(call: Callable[[], T], seconds: float, name: str) -> T:
    """The result of `call()`, which runs in a thread of its own.

    A hang in C code cannot be interrupted, only left behind. The calling thread merely waits, so
    the main thread goes on handling signals. While a call is stuck, further ones of the same name
    fail at once, so that each name costs at most one thread in a process.

    Args:
        call: Must release the GIL wherever it may hang, and not rely on thread-local state.
        seconds: How long to wait.
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

    # A daemon, so that the process can end while it hangs; executors of the standard library
    # would wait for their threads.
    thread = threading.Thread(target=run, name=f'reading {name}', daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _stuck[name] = thread
        raise DeadlineError(f'{name}: no result after {seconds:g} s')
    _stuck.pop(name, None)
    if errors:
        raise _without_thread(errors)
    return results[0]


def _without_thread(errors: list[Any]) -> BaseException:
    """The error; taken out of the list, so that no cycle of references keeps its frames alive."""
    return errors.pop()
