"""Mend what other packages break at import or at loading, and only where it is broken.

`apply()` runs when `swinv2_dense` is imported. It needs torch and mmengine alone: a defect of a
package that is not imported yet is mended when that package is imported.

Each function below that mends something names the defect, its upstream report and its condition.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.config import utils as config_utils
from mmengine.dist import barrier, is_main_process
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.utils import digit_version

TORCH_CHECKS_GLOBALS = hasattr(torch.serialization, 'add_safe_globals')  # torch >= 2.4


def apply() -> None:
    """Mend every defect that is there; doing it twice is the same as once."""
    resolve_mmseg_configs()
    if TORCH_CHECKS_GLOBALS:
        read_checkpoints_safely()
    if not any(isinstance(finder, _MendingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MendingFinder())
        for name in MENDED_IMPORTS.keys() & sys.modules.keys():
            with MENDED_IMPORTS[name](sys.modules[name]):
                pass  # imported before us; what can still be mended is mended


# ---------------------------------------------------------------------------- reading checkpoints


def read_checkpoints_safely() -> None:
    """Let mmengine read its own training checkpoints, and nothing that could run code.

    Defect: torch >= 2.6 unpickles weights only, by default, which rejects the HistoryBuffer of
    every mmengine checkpoint (open-mmlab/mmengine#1655). onedl-mmengine falls back to unrestricted
    unpickling, and files from the web are always read so.
    Condition: a torch that can be told what a checkpoint may hold.
    """
    loader = mmengine_checkpoint.CheckpointLoader
    loader.register_scheme(prefixes='', loader=load_from_local, force=True)
    loader.register_scheme(prefixes=['http://', 'https://'], loader=load_from_http, force=True)
    # The loaders of model zoo names call this one.
    mmengine_checkpoint.load_from_http = load_from_http


def read_checkpoint_file(path: str | os.PathLike, map_location: Any = None) -> Any:
    """Read a file of `torch.save` that holds weights or a training state of mmengine.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds anything else, which could run code, or is damaged.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    try:
        with _training_state_allowed():
            return torch.load(path, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        # torch adds advice to load unsafely; the error that it wraps names the culprit.
        cause = str(error.__context__ or error).partition('. Please use')[0].strip()
        raise ValueError(
            f'checkpoint {path} holds something else than weights and the training state of '
            'mmengine, and reading that could run code of whoever made the file. If you trust '
            'them, load it once with torch.load(..., weights_only=False) and save its state_dict '
            f'alone. What torch refused: {cause}'
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(
            f'checkpoint {path} cannot be read; if it is incomplete, fetch it again. '
            f'torch says: {error}'
        ) from error


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """mmengine's loader of local files."""
    return read_checkpoint_file(filename, map_location)


def load_from_http(
    filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = True
) -> Any:
    """mmengine's loader of URLs, with torch hub's cache; the first rank downloads for all."""
    folder = Path(model_dir or Path(torch.hub.get_dir()) / 'checkpoints')
    cached = folder / Path(urlparse(filename).path).name
    for turn in (True, False):
        if is_main_process() == turn and not cached.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(filename, str(cached), progress=progress)
        barrier()
    return read_checkpoint_file(cached, map_location)


@contextmanager
def _training_state_allowed() -> Iterator[None]:
    """Allow the training state of mmengine beside weights, only while the context is open."""
    if not TORCH_CHECKS_GLOBALS:
        yield
        return
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(_allowed_globals())
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _allowed_globals() -> list[Any]:
    """What an mmengine checkpoint holds beside weights; arrays under numpy 1 and 2 names."""
    reconstruct, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    allowed = [HistoryBuffer, np.ndarray, np.dtype, _named(_history_method, 'builtins', 'getattr')]
    allowed += [type(np.dtype(kind)) for kind in (np.float64, np.int64)]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed.append(_named(reconstruct, module, '_reconstruct'))
        allowed.append(_named(scalar, module, 'scalar'))
    return allowed


def _named(function: Callable, module: str, name: str) -> Callable:
    """A function that a pickle finds as `module.name`. torch goes by these two attributes."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__name__, alias.__qualname__ = module, name, name
    return alias


def _history_method(owner: object, name: str) -> Callable:
    """The `getattr` of a checkpoint: a HistoryBuffer pickles its statistics methods.

    Any other attribute is refused: the plain getattr reaches `__globals__`, and from there all.
    """
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise UnpicklingError(f'attribute {name!r} of {owner!r} is not part of a training state')


# ---------------------------------------------------------------------------------- config bases


def resolve_mmseg_configs() -> None:
    """Make `_base_ = 'mmseg::...'` find mmseg whatever its distribution is called.

    Defect: mmengine looks for a distribution `mmsegmentation`; the fork has the module mmseg in a
    distribution onedl-mmsegmentation (table MODULE2PACKAGE in mmengine/config/utils.py).
    Condition: mmseg is there and that distribution is not.
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
    """Let mmaction be imported beside mmcv >= 2.2.

    Defect: mmaction2 1.2.0 refuses it though it works (open-mmlab/mmaction2#2852).
    Condition: mmcv >= 2.2. Its version is shown as 2.1.0 while mmaction checks it.
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
    _stub_missing_drn(models)
    _leave_out_multimodal_models()
    yield


def _stub_missing_drn(models: ModuleType) -> None:
    """Stand in for mmaction.models.localizers.drn.

    Defect: mmaction2's wheel lacks that folder but imports it (open-mmlab/mmaction2#2714).
    Condition: the folder is missing.
    """
    name = 'mmaction.models.localizers.drn.drn'
    if Path(models.__path__[0], 'localizers', 'drn', 'drn.py').is_file() or name in sys.modules:
        return

    class DRN:
        """Says on construction that the model is missing."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise ImportError(
                'DRN is not part of the mmaction2 wheel (open-mmlab/mmaction2#2714); '
                'install mmaction2 from its repository'
            )

    package, module = ModuleType(name.rpartition('.')[0]), ModuleType(name)
    package.__path__, package.drn, module.DRN = [], module, DRN
    sys.modules[package.__name__], sys.modules[name] = package, module


def _leave_out_multimodal_models() -> None:
    """Do without mmaction's vision-language models where they cannot be imported.

    Defect: mmaction2 imports them as soon as transformers is installed, though they also need timm,
    which needs torchvision, and names that transformers 5 no longer has
    (mmaction/utils/dependency.py, WITH_MULTIMODAL). mmaction has placeholders for their absence.
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
    """Mend the hue of mmaction's ColorJitter.

    Defect: it adds a negative offset to a uint8 array, which numpy 2 refuses (NEP 50); the same
    was mended in VBTI-development/onedl-mmcv#41, and mmaction2 has no maintained fork.
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
    """Let InstaBoost paste objects of several parts.

    Defect: instaboostfast subtracts 1 from a list of contours of unlike lengths, which numpy no
    longer makes an array of (waspinator/pycococreator#47, the code it was copied from).
    Condition: numpy >= 1.24. The contours are given as an array of arrays, which subtracts.
    """
    yield
    measure = pycococreater.measure
    if digit_version(np.__version__) < digit_version('1.24.0') or isinstance(measure, _Measure):
        return
    pycococreater.measure = _Measure(measure)


class _Measure:
    """skimage.measure with contours in an array of objects."""

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


MENDED_IMPORTS: dict[str, Callable[[ModuleType], AbstractContextManager]] = {
    'mmaction': accept_newer_mmcv,
    'mmaction.models': complete_mmaction_models,
    'mmaction.datasets.transforms.processing': wrap_hue,
    'instaboostfast.pycococreater': keep_ragged_contours,
}


class _MendingFinder(importlib.abc.MetaPathFinder):
    """Run a module of MENDED_IMPORTS within its context; other finders find all modules."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MENDED_IMPORTS:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, _MendingFinder))
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_mended(module: ModuleType) -> None:
                with MENDED_IMPORTS[fullname](module):
                    execute(module)

            spec.loader.exec_module = exec_mended
        return spec
