"""Swin Transformer V2 for dense prediction with mmdet, mmsegmentation and mmaction2.

Importing the package registers its models in mmengine's root registry; it needs torch and mmengine.
"""

from __future__ import annotations

from pathlib import Path

from . import compat

compat.apply()

from . import engine  # noqa: E402
from .models import SwinTransformerV2, VideoSwinTransformerV2  # noqa: E402

__version__ = '0.1.0'
__all__ = ['SwinTransformerV2', 'VideoSwinTransformerV2', 'config_path', 'engine']


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
    known = sorted(str(p.relative_to(f)) for f in folders for p in f.glob('[!_]*/*.py'))
    raise FileNotFoundError(f'no config {name!r} in swinv2_dense; there are {", ".join(known)}')
