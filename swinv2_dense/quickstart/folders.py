"""Write a generated data set as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_whole(root: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder beside `root`, which takes the place of `root` when complete.

    `root` is never half a data set: an error or an interruption leaves nothing behind.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f'.{root.name}-', dir=root.parent))
    try:
        write(draft)
        draft.chmod(0o755)  # mkdtemp's folder is its owner's only
        os.replace(draft, root)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def is_filled(root: Path) -> bool:
    """Whether there is something that must not be written over."""
    return root.exists() and (not root.is_dir() or any(root.iterdir()))
