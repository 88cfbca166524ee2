"""What a pickle may hold besides weights: mmengine's training state, as inert stand-ins.

torch unpickles weights only and is told here what else to allow. Nothing allowed can execute what
the file says. numpy's own types, for example, stay out of reach, because
`numpy.ndarray((1,), dtype('O'), b'...')` takes pointers from the file. Arrays are read as `_Array`
and rebuilt from their bytes afterwards.
"""

from __future__ import annotations

import pickle
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

LOCK = threading.Lock()  # torch has one list of allowed globals per process


def load_weights_and_training_state(file: BinaryIO | str, map_location: Any = None) -> Any:
    """Load what `torch.save` wrote, if it is weights and a training state.

    Args:
        file: An open file, or the path of one that is mapped into memory instead of read.

    Raises:
        pickle.UnpicklingError: It holds anything else, which is not executed.
        Exception: The file is damaged.
    """
    with LOCK:
        before = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(_allowed_globals())
        try:
            is_mapped = isinstance(file, str)
            location = 'cpu' if is_mapped else map_location
            read = torch.load(file, map_location=location, weights_only=True, mmap=is_mapped)
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(before)
    return _with_arrays(read)


def _allowed_globals() -> list[Any]:
    """Stand-ins, under the names by which pickles refer to the originals.

    Arrays have the names of numpy 1 and 2. The settings that the official code and timm save with
    their weights are accepted and dropped.
    """
    allowed: list[Any] = [HistoryBuffer, _DType, _Array]
    allowed += [_named(_history_method, 'builtins', 'getattr'), _named(_DType, 'numpy', 'dtype')]
    allowed.append(_named(_no_array, 'numpy', 'ndarray'))
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed.append(_named(_Array, module, '_reconstruct'))
        allowed.append(_named(_scalar, module, 'scalar'))
    return [*allowed, *SETTINGS]


def _settings(module: str, name: str) -> type:
    """A class whose instances are empty dicts, whatever arguments the pickle has."""
    return type(name, (), dict(__module__=module, __new__=lambda cls, *_: OrderedDict()))


SETTINGS = (_settings('yacs.config', 'CfgNode'), _settings('argparse', 'Namespace'))


class _DType:
    """numpy.dtype of plain numbers, as pickled: a code such as f8, then the byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r'[biufc]\d{1,2}', str(code)):
            raise pickle.UnpicklingError(f'global numpy.dtype({code!r}) is not a plain number type')
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
    """Replace every `_Array` in `value` by an array."""
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
    """A function that pickles find as `module.name`: torch goes by these attributes."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__name__, alias.__qualname__ = module, name, name
    return alias


def _history_method(owner: object, name: str) -> Callable:
    """The `getattr` of a checkpoint: a HistoryBuffer pickles its statistics methods.

    All other attributes are refused: a plain getattr reaches `__globals__`, and thereby everything.
    """
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'attribute {name!r} of {owner!r} is not part of a training state')
