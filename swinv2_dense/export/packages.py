"""The packages of `pip install "swinv2_dense[export]"`, imported when they are used."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import ConfigError


def need(name: str, purpose: str) -> ModuleType:
    """Import a package.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f'{purpose} needs {name.partition(".")[0]}, which cannot be imported ({error}); '
            'pip install onnx onnxruntime onnxscript'
        ) from error
