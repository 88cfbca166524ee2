"""Errors that users can fix. Commands print their message in one line and exit."""

from __future__ import annotations

from collections.abc import Sequence


class ConfigError(ValueError):
    """An invalid config, command line or dataset.

    The message names the file, key or argument, its value, and the remedy.
    """


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names it and the reason."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """The checkpoint does not exist."""


def truncate(names: Sequence[str], most: int = 6) -> str:
    """The first few names, and how many more there are."""
    rest = f', ... ({len(names) - most} more)' if len(names) > most else ''
    return ', '.join(names[:most]) + rest
