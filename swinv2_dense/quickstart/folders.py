"""Write generated datasets atomically."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..atomic_files import replacing


def write_whole(root: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, and rename it to `root` when it is complete.

    An error or an interruption leaves nothing behind.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with replacing(root) as draft:
        draft.mkdir()
        write(draft)


def is_filled(root: Path) -> bool:
    """Whether there is something that must not be overwritten."""
    return root.exists() and (not root.is_dir() or any(root.iterdir()))


def check_parameters(
    file: Path, found: Mapping[str, Any], wanted: Mapping[str, Any], remedy: str
) -> None:
    """Raise ValueError unless the dataset described by `file` has the `wanted` parameters."""
    differing = [
        f'{key} is {found.get(key)!r} there, {wanted[key]!r} here'
        for key in wanted
        if found.get(key) != wanted[key]
    ]
    if differing:
        raise ValueError(f'{file}: the parameters differ: {", ".join(differing)}. {remedy}')
