"""Write a generated data set as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..atomic_files import replacing


def write_whole(root: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder beside `root`, which takes the place of `root` when complete.

    `root` is never half a data set: an error or an interruption leaves nothing behind.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with replacing(root) as draft:
        draft.mkdir()
        write(draft)


def is_filled(root: Path) -> bool:
    """Whether there is something that must not be written over."""
    return root.exists() and (not root.is_dir() or any(root.iterdir()))


def check_parameters(
    file: Path, found: Mapping[str, Any], wanted: Mapping[str, Any], remedy: str
) -> None:
    """Raise ValueError unless a data set, by its `file`, was made from the `wanted` parameters."""
    differing = [
        f'{key} is {found.get(key)!r} there and {wanted[key]!r} here'
        for key in wanted
        if found.get(key) != wanted[key]
    ]
    if differing:
        raise ValueError(f'{file}: other parameters: {", ".join(differing)}. {remedy}')
