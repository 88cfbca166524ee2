"""The errors that a user can act on. A command prints their message in one line and exits."""

from __future__ import annotations

from collections.abc import Sequence


class ConfigError(ValueError):
    """A config, a command line or a dataset that cannot work.

    The message names the file, key or argument, its value, and what to do.
    """


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names it and says why."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no such checkpoint."""


def truncate(names: Sequence[str], most: int = 6) -> str:
    """The first few names, and how many more there are."""
    rest = f', ... ({len(names) - most} more)' if len(names) > most else ''
    return ', '.join(names[:most]) + rest
