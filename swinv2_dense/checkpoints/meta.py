"""What a training checkpoint says about itself, without reading its weights."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .reading import read_checkpoint_file
from .shards import FILE
from .training_state import load_weights_and_training_state


def read_meta(path: str | os.PathLike) -> Mapping[str, Any]:
    """The entry `meta` of a checkpoint of mmengine; empty if it has none.

    Raises:
        CheckpointError: See `read_checkpoint_file`.
    """
    file = Path(path).expanduser()
    if file.is_dir() and (file / FILE.format(0)).is_file():
        file = file / FILE.format(0)
    try:
        # The tensors stay on disk: the file is only mapped into memory.
        read = load_weights_and_training_state(str(file)) if zipfile.is_zipfile(file) else None
    except Exception:  # a damaged pickle can raise almost anything
        read = None
    if read is None:
        read = read_checkpoint_file(file, 'cpu')
    meta = read.get('meta') if isinstance(read, Mapping) else None
    return meta if isinstance(meta, Mapping) else {}
