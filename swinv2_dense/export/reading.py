"""Run exported files on the CPU."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import CheckpointError, ConfigError
from .metadata import Metadata
from .packages import need
from .writing import METADATA_FILE


def is_exported(path: str) -> bool:
    """Whether a path is one of an exported file instead of a checkpoint, by its suffix.

    Raises:
        ConfigError: It is a pt2: torch evaluates expressions that are stored in it.
    """
    if str(path).endswith('.pt2'):
        raise ConfigError(
            f'{path}: the commands do not read pt2 files, because torch.export.load may run code '
            'that is stored in them; export the model as ONNX (--format onnx)'
        )
    return str(path).endswith('.onnx')


def open_exported(path: str | Path) -> ExportedFile:
    """An `ExportedFile`, which is opened once as long as it is the same.

    Raises:
        CheckpointError: See `ExportedFile`.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: there is no such file')
    facts = path.stat()
    return _open_once(path, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=4)
def _open_once(path: Path, *_: int) -> ExportedFile:
    return ExportedFile(path)


class ExportedFile:
    """A file of the export command, ready to run; `metadata` is what it says about itself.

    Raises:
        CheckpointError: It cannot be read, or another program has written it.
        ConfigError: ONNX Runtime is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        open_file = _open_onnx if self.path.suffix == '.onnx' else _open_pt2
        try:
            self._run, strings = open_file(self.path)
        except ConfigError:
            raise
        except Exception as error:  # of ONNX Runtime and torch, whatever is wrong with the file
            reason = str(error).strip().partition('\n')[0]
            raise CheckpointError(f'{self.path} cannot be read: {reason}') from error
        self.metadata = Metadata.from_strings(strings, str(self.path))

    def run(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The outputs by name."""
        return dict(zip(self.metadata.outputs, self._run(inputs)))


def _open_onnx(path: Path) -> tuple[Any, Mapping[str, str]]:
    runtime = need('onnxruntime', path.name)
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = runtime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])

    def run(inputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        wanted = [item.name for item in session.get_inputs()]
        arrays = {name: np.ascontiguousarray(inputs[name].cpu().numpy()) for name in wanted}
        return [torch.from_numpy(array) for array in session.run(None, arrays)]

    return run, session.get_modelmeta().custom_metadata_map


def _open_pt2(path: Path) -> tuple[Any, Mapping[str, str]]:
    files = {METADATA_FILE: ''}
    program = torch.export.load(path, extra_files=files)
    module = program.module()
    text = files[METADATA_FILE]

    def run(inputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        with torch.no_grad():
            found = module(*inputs.values())
        return [found] if isinstance(found, torch.Tensor) else list(found)

    return run, json.loads(text) if text else {}


class ExportedSizes:
    """All files of one export that lie in one folder: the same model at several sizes.

    Args:
        path: One of them.
    """

    def __init__(self, path: str | Path) -> None:
        first = open_exported(path)
        self.metadata = first.metadata
        self._opened = {first.path: first}
        self._sizes: dict[Path, tuple[int, int]] = {}
        for name, height, width in first.metadata.files:
            other = first.path.with_name(Path(name).name)
            if other == first.path or other.is_file():
                self._sizes[other] = height, width
        self._sizes.setdefault(first.path, tuple(first.metadata.size[-2:]))

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(H, W) of the files."""
        return list(self._sizes.values())

    def fitting(self, height: int, width: int) -> tuple[ExportedFile, int, int]:
        """The file of the smallest size that an image fits in, and that size.

        Raises:
            CheckpointError: There is none.
        """
        fitting = [(h * w, h, w, p) for p, (h, w) in self._sizes.items() if h >= height]
        fitting = [item for item in fitting if item[2] >= width]
        if not fitting:
            listed = ', '.join(f'{h} x {w}' for h, w in self.sizes)
            raise CheckpointError(
                f'{next(iter(self._opened))} takes {listed} pixels, but an image has {height} x '
                f'{width} after the test pipeline: export that size too (--size H W H W ...)'
            )
        _, h, w, path = min(fitting)
        if path not in self._opened:
            opened = open_exported(path)
            if opened.metadata.config_digest != self.metadata.config_digest:
                raise CheckpointError(f'{path} is of another export; remove it')
            self._opened[path] = opened
        return self._opened[path], h, w
