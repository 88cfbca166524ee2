"""What a pickle may hold beside weights: the training state of mmengine, as inert stand-ins.

torch unpickles weights only and is told here what else to allow. Nothing that is allowed runs what
the file says: numpy's own types, for one, stay out of reach, since
`numpy.ndarray((1,), dtype('O'), b'...')` takes pointers from the file. Arrays are read as `_Array`
and made of their bytes afterwards.
"""

from __future__ import annotations

import pickle
import re
import threading
from _compat_pickle import IMPORT_MAPPING
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

TORCH_CHECKS_GLOBALS = hasattr(torch.serialization, 'add_safe_globals')  # torch >= 2.4
LOCK = threading.Lock()  # torch's list of what is allowed is one for the process


def load_weights_and_training_state(file: BinaryIO, map_location: Any = None) -> Any:
    """What `torch.save` wrote, if it is weights and a training state.

    Raises:
        pickle.UnpicklingError: It holds anything else, which is not executed.
        Exception: The file is damaged.
    """
    if not TORCH_CHECKS_GLOBALS:
        restricted = SimpleNamespace(Unpickler=_Unpickler, load=_load, __name__='restricted')
        read = torch.load(file, map_location, pickle_module=restricted, weights_only=False)
        return _with_arrays(read)
    with LOCK:
        before = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(_allowed_globals())
        try:
            read = torch.load(file, map_location=map_location, weights_only=True)
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(before)
    return _with_arrays(read)


class _Unpickler(pickle._Unpickler):
    """For torch < 2.4, whose own restricted unpickler cannot be told what else to allow.

    The one written in Python, because in it BUILD can be restricted: it sets attributes, and those
    of a function or class would stay after the file is read.
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def load_build(self) -> None:
        built = type(self.stack[-2])
        if built not in (OrderedDict, HistoryBuffer, _Array, _DType):
            raise pickle.UnpicklingError(f'attributes of the global {built.__name__} are set')
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module: str, name: str) -> Any:
        from torch._weights_only_unpickler import _get_allowed_globals

        allowed = {f'{item.__module__}.{item.__name__}': item for item in _allowed_globals()}
        path = f'{IMPORT_MAPPING.get(module, module)}.{name}'  # Python 2's names, as pickles have
        found = {**_get_allowed_globals(), **allowed}.get(path)
        if found is None:
            raise pickle.UnpicklingError(f'global {path} is neither weights nor training state')
        return found


def _load(file: BinaryIO, **kwargs: Any) -> Any:
    return _Unpickler(file, **kwargs).load()


def _allowed_globals() -> list[Any]:
    """Stand-ins, by the names that pickles have for what they stand in for.

    Arrays under the names of numpy 1 and 2; the settings that the official code and timm save
    beside weights, of which nothing is kept.
    """
    allowed = [HistoryBuffer, _DType, _Array]
    allowed += [_named(_history_method, 'builtins', 'getattr'), _named(_DType, 'numpy', 'dtype')]
    allowed.append(_named(_no_array, 'numpy', 'ndarray'))
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed.append(_named(_Array, module, '_reconstruct'))
        allowed.append(_named(_scalar, module, 'scalar'))
    return allowed + [*SETTINGS]


def _settings(module: str, name: str) -> type:
    """A class that makes an empty dict of whatever a pickle says of its settings."""
    return type(name, (), dict(__module__=module, __new__=lambda cls, *_: OrderedDict()))


SETTINGS = (_settings('yacs.config', 'CfgNode'), _settings('argparse', 'Namespace'))


class _DType:
    """numpy.dtype of plain numbers, as pickled: a code such as f8, then the byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r'[biufc]\d{1,2}', str(code)):
            raise pickle.UnpicklingError(f'global numpy.dtype({code!r}) is not of plain numbers')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])

    def numbers(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, self.dtype).astype(self.dtype.newbyteorder('='))


class _Array:
    """numpy.ndarray, as pickled: a shape, a dtype, the order and the bytes."""

    def __init__(self, *_: Any) -> None:
        self.value = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.value = dtype.numbers(data).reshape(shape, order='F' if fortran else 'C')


def _scalar(dtype: _DType, data: bytes) -> np.generic:
    (value,) = dtype.numbers(data)
    return value


def _no_array(*_: Any) -> None:
    raise pickle.UnpicklingError('the global numpy.ndarray is called, which no training state does')


def _with_arrays(value: Any) -> Any:
    """What was read, with arrays for every `_Array`."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, _DType):
        return value.dtype
    if isinstance(value, HistoryBuffer):
        value.__dict__.update(_with_arrays(dict(value.__dict__)))
    elif isinstance(value, dict):
        for key, item in value.items():
            value[key] = _with_arrays(item)
    elif isinstance(value, list):
        value[:] = map(_with_arrays, value)
    elif type(value) is tuple:
        return tuple(map(_with_arrays, value))
    return value


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
    raise pickle.UnpicklingError(f'attribute {name!r} of {owner!r} is not part of a training state')
