"""Read predictions that a test saved, without running code that a file may contain."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch

from ..errors import ConfigError

HARMLESS = {  # what tensors, arrays and their containers are made of
    ('collections', 'OrderedDict'),
    ('numpy', 'dtype'),
    ('numpy', 'ndarray'),
    *((f'numpy.{core}.multiarray', name) for core in ('core', '_core') for name in
      ('_reconstruct', 'scalar')),
    ('_codecs', 'encode'),
    ('torch._utils', '_rebuild_tensor_v2'),
    ('torch', 'device'),
    ('torch', 'Size'),
}  # fmt: skip


def read_predictions(path: Path) -> tuple[list[dict], bool]:
    """Predictions, and whether they are records of a report.

    Args:
        path: `records.json` of a report, or FILE.pkl of `test.py --out` or `--dump`.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    try:
        if path.suffix == '.json':
            content = json.loads(path.read_text(encoding='utf-8'))
        else:
            with open(path, 'rb') as file:
                content = _Unpickler(file).load()
    except (OSError, EOFError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise ConfigError(f'predictions {path} cannot be read: {error}') from error
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise ConfigError(
            f'{path} does not hold a list of predictions: name records.json of a report, or the '
            'file that test.py wrote with --out or --dump'
        )
    if not content:
        raise ConfigError(f'{path} holds no predictions')
    return content, path.suffix == '.json'


class _Unpickler(pickle.Unpickler):  # noqa: S301  only the names in HARMLESS
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            return _load_storage  # torch's own would unpickle anything
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(
                f'it contains {module}.{name}, which is neither a tensor nor an array'
            )
        return super().find_class(module, name)


def _load_storage(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), weights_only=True)
