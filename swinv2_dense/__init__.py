"""Swin Transformer V2 for dense prediction with mmdet, mmsegmentation and mmaction2.

Importing the package registers its models, hooks and optimizers with mmengine; it needs torch and
mmengine. It also replaces mmengine's loaders of checkpoints in this process, see `compat`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from . import compat

compat.apply()

from . import own_data
from .checks import batch_norm, files
from .checks.names import nearest
from .distributed import cpu, fsdp, zero
from .models import (
    SwinTransformerV1,
    SwinTransformerV2,
    VideoSwinTransformerV1,
    VideoSwinTransformerV2,
)
from .resilience import (
    atomic_checkpoints,
    nonfinite,
    preemption,
    resume,
    resume_settings,
    unreadable_samples,
)
from .training import (
    amp,
    auto_batch,
    backbone_weights,
    checkpoint_classes,
    early_stopping,
    elastic,
    expected,
    image_check,
    layer_decay,
    load_report,
    results,
    start_report,
    undefined_metrics,
)

from . import engine  # isort: skip  the former home of these names

__version__ = '0.1.0'
__all__ = [
    'SwinTransformerV1',
    'SwinTransformerV2',
    'VideoSwinTransformerV1',
    'VideoSwinTransformerV2',
    'config_path',
    'engine',
    'load',
    'own_data',
]


def load(*args: Any, **kwargs: Any) -> Any:
    """Load a model for predictions in Python: see `api.load`."""
    api = import_module('.api', __name__)  # imports the libraries
    return api.load(*args, **kwargs)


def config_path(name: str) -> str:
    """Absolute path of one of the package's configs, for `_base_` of a config anywhere.

    `_base_ = __import__('swinv2_dense').config_path('detection/x.py')`

    Raises:
        FileNotFoundError: There is no such config.
    """
    package = Path(__file__).resolve().parent
    folders = [package / 'configs', package.parent / 'configs']
    for folder in folders:
        if (folder / name).is_file():
            return str(folder / name)
    folder = next(folder for folder in folders if folder.is_dir())
    known = sorted(str(path.relative_to(folder)) for path in folder.glob('[!_]*/*.py'))
    found = nearest(name, known, count=3, cutoff=0.4)
    meant = f'; did you mean {" or ".join(map(repr, found))}?' if found else ';'
    raise FileNotFoundError(f'no config {name!r} in swinv2_dense{meant} All are in {folder}')
