"""Patches for defects of other packages at import or at loading, applied only where they exist.

`apply()` runs when `swinv2_dense` is imported, and replaces mmengine's checkpoint loaders in the
whole process: on current torch, mmengine's own reject the checkpoints that mmengine writes, and
those of its fork run code stored in a file. Patching only our tools would leave mmengine's runner
and hooks, and users' scripts, with the loaders that fail or are unsafe.

Only torch and mmengine are imported here: other packages are patched when they are imported. Each
patch names the defect, its upstream report and its condition.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.config import utils as config_utils
from mmengine.logging import MMLogger
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.utils import digit_version

from .checkpoints.fetching import load_from_backend, load_from_http, load_from_path
from .checkpoints.reading import read_checkpoint_file


def apply() -> None:
    """Apply all patches; calling it again changes nothing."""
    resolve_mmseg_configs()
    read_checkpoints_safely()
    if not any(isinstance(finder, PatchingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, PatchingFinder())
        for name in IMPORT_PATCHES.keys() & sys.modules.keys():
            with IMPORT_PATCHES[name](sys.modules[name]):
                pass  # imported before us; patch what can still be patched


# ---------------------------------------------------------------------------- reading checkpoints


def read_checkpoints_safely() -> None:
    """Let mmengine read its own training checkpoints, and nothing that could run code.

    Defect: torch unpickles weights only by default, which rejects the HistoryBuffer in every
    mmengine checkpoint (open-mmlab/mmengine#1655). onedl-mmengine falls back to unrestricted
    unpickling, and always uses it for downloads.
    Condition: always.
    """
    schemes = {
        '': load_from_path,
        'hf://': load_from_path,
        'http://': load_from_http,
        'https://': load_from_http,
        r'(\S+\:)?s3://': load_from_backend,
        r'(\S+\:)?petrel://': load_from_backend,
        'pavi://': load_from_backend,
    }
    for prefix, loader in schemes.items():
        mmengine_checkpoint.CheckpointLoader.register_scheme(prefix, loader, force=True)
    # The loaders of model zoo names call these two; only onedl-mmengine has the second.
    mmengine_checkpoint.load_from_http = load_from_http
    if hasattr(mmengine_checkpoint, '_safe_torch_load'):
        mmengine_checkpoint._safe_torch_load = read_checkpoint_file


# ---------------------------------------------------------------------------------- config bases


def resolve_mmseg_configs() -> None:
    """Let `_base_ = 'mmseg::...'` find mmseg in the fork's distribution.

    Defect: mmengine looks for a distribution `mmsegmentation`; in the fork, the module mmseg is in
    the distribution onedl-mmsegmentation (table MODULE2PACKAGE in mmengine/config/utils.py).
    Condition: mmseg is installed and that distribution is not.
    """
    if _is_distribution('mmsegmentation') or importlib.util.find_spec('mmseg') is None:
        return
    config_utils.MODULE2PACKAGE['mmseg'] = 'mmseg'


def _is_distribution(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


# --------------------------------------------------------------------------------------- imports


@contextmanager
def accept_newer_mmcv(_: ModuleType) -> Iterator[None]:
    """Let mmaction be imported with mmcv >= 2.2.

    Defect: mmaction2 1.2.0 refuses it although it works (open-mmlab/mmaction2#2852).
    Condition: mmcv >= 2.2. Its version reads 2.1.0 while mmaction checks it.
    """
    import mmcv

    version = mmcv.__version__
    if digit_version(version) >= digit_version('2.2.0'):
        mmcv.__version__ = '2.1.0'
    try:
        yield
    finally:
        mmcv.__version__ = version


@contextmanager
def complete_mmaction_models(models: ModuleType) -> Iterator[None]:
    """Let mmaction.models be imported from the wheel, with or without multimodal packages."""
    stub_missing_drn(models)
    disable_multimodal_models()
    yield


def stub_missing_drn(models: ModuleType) -> None:
    """Provide a stub of mmaction.models.localizers.drn.

    Defect: mmaction2's wheel lacks that folder but imports it (open-mmlab/mmaction2#2714).
    Condition: the folder is missing.
    """
    name = 'mmaction.models.localizers.drn.drn'
    if Path(models.__path__[0], 'localizers', 'drn', 'drn.py').is_file() or name in sys.modules:
        return

    class DRN:
        """Raises when it is built."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise ImportError(
                'DRN is not part of the mmaction2 wheel (open-mmlab/mmaction2#2714); '
                'install mmaction2 from its repository'
            )

    package, module = ModuleType(name.rpartition('.')[0]), ModuleType(name)
    package.__path__, package.drn, module.DRN = [], module, DRN
    sys.modules[package.__name__], sys.modules[name] = package, module


def disable_multimodal_models() -> None:
    """Disable mmaction's vision-language models if they cannot be imported.

    Defect: mmaction2 imports them if transformers is installed, although they also need timm,
    which needs torchvision, and names that transformers 5 no longer has
    (mmaction/utils/dependency.py, WITH_MULTIMODAL). mmaction has placeholders for them.
    Condition: one of these is missing.
    """
    from mmaction.utils import dependency

    if not dependency.WITH_MULTIMODAL:
        return
    has_timm = all(importlib.util.find_spec(name) for name in ('timm', 'torchvision'))
    if not has_timm or digit_version(metadata.version('transformers')) >= digit_version('5.0.0'):
        dependency.WITH_MULTIMODAL = False


@contextmanager
def wrap_hue(processing: ModuleType) -> Iterator[None]:
    """Fix the hue of mmaction's ColorJitter.

    Defect: it adds a negative offset to a uint8 array, which numpy 2 refuses (NEP 50). The same
    was fixed in VBTI-development/onedl-mmcv#41; mmaction2 has no maintained fork.
    Condition: numpy >= 2.
    """
    yield
    if digit_version(np.__version__) < digit_version('2.0.0'):
        return

    def adjust_hue(img: np.ndarray, factor: float) -> np.ndarray:
        import cv2

        hsv = cv2.cvtColor(np.clip(img, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(factor * 255)) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    processing.ColorJitter.adjust_hue = staticmethod(adjust_hue)


@contextmanager
def keep_ragged_contours(pycococreater: ModuleType) -> Iterator[None]:
    """Let InstaBoost paste objects that consist of several parts.

    Defect: instaboostfast subtracts 1 from a list of contours of different lengths, which numpy no
    longer converts to an array (waspinator/pycococreator#47, the code it was copied from).
    Condition: numpy >= 1.24. The contours become an array of arrays, which supports subtraction.
    """
    yield
    measure = pycococreater.measure
    if digit_version(np.__version__) < digit_version('1.24.0') or isinstance(measure, _Measure):
        return
    pycococreater.measure = _Measure(measure)


class _Measure:
    """skimage.measure whose contours are in an object array."""

    def __init__(self, measure: ModuleType) -> None:
        self.measure = measure

    def __getattr__(self, name: str) -> Any:
        return getattr(self.measure, name)

    def find_contours(self, *args: Any, **kwargs: Any) -> np.ndarray:
        contours = self.measure.find_contours(*args, **kwargs)
        result = np.empty(len(contours), dtype=object)
        for i, contour in enumerate(contours):
            result[i] = contour
        return result


IMPORT_PATCHES: dict[str, Callable[[ModuleType], AbstractContextManager]] = {
    'mmaction': accept_newer_mmcv,
    'mmaction.models': complete_mmaction_models,
    'mmaction.datasets.transforms.processing': wrap_hue,
    'instaboostfast.pycococreater': keep_ragged_contours,
}


class PatchingFinder(importlib.abc.MetaPathFinder):
    """Runs the modules of IMPORT_PATCHES in their contexts; other finders locate them."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in IMPORT_PATCHES:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, PatchingFinder))
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_patched(module: ModuleType) -> None:
                with IMPORT_PATCHES[fullname](module):
                    execute(module)

            spec.loader.exec_module = exec_patched
        return spec


# ------------------------------------------------------------------------ processes and their logs


@contextmanager
def without_cuda_device() -> Iterator[None]:
    """Let mmengine's `init_dist` connect processes on a machine without a GPU.

    Defect: `init_dist` calls `torch.cuda.set_device` for every backend (mmengine/dist/utils.py of
    0.10.7 and of onedl-mmengine 0.10.12; no upstream report). With gloo there may be no GPU.
    Condition: torch finds no GPU. The call does nothing within the block.
    """
    if torch.cuda.is_available():
        yield
        return
    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = set_device


@contextmanager
def watch_new_loggers(attach: Callable[[MMLogger], None]) -> Iterator[None]:
    """Call `attach` with each logger that mmengine creates within the block.

    Defect: MMLogger is outside of logging's hierarchy, so neither a parent logger nor
    `logging.setLoggerClass` reaches its handlers, and no setting says what they show on a terminal
    (mmengine/logging/logger.py of 0.10.7; no upstream report).
    Condition: within the block, in every version.
    """
    original = MMLogger.__init__

    @functools.wraps(original)
    def init(self: MMLogger, *args: Any, **settings: Any) -> None:
        original(self, *args, **settings)
        attach(self)

    MMLogger.__init__ = init
    try:
        yield
    finally:
        MMLogger.__init__ = original
