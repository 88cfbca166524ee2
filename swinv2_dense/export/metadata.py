"""What an exported file says about itself: metadata_props of ONNX, extra_files of pt2."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import CheckpointError

KEPT = ('default_scope', 'custom_imports', 'model', 'test_dataloader', 'test_evaluator')


@dataclass(frozen=True)
class Metadata:
    """Stored as one JSON value per field."""

    default_scope: str  # of the config: the task
    part: str  # 'model', 'neck' or 'backbone'
    raw: bool  # normalized input, outputs of the head
    size: list[int]  # (T,) H, W of the input in pixels
    classes: list[str]
    channel_order: str  # of the input: 'bgr', 'rgb', or 'bands'
    mean: list[float] | None  # per channel after reordering; None: no normalization
    std: list[float] | None
    dtype: str  # of the weights
    outputs: list[str]
    config: str  # what inference needs of the config, as assignments of literals
    config_digest: str  # SHA-256 of `config`
    checkpoint: str  # file name
    exporter: str
    opset: int | None
    files: list[list[Any]]  # name, H and W of every file of the same export

    def to_strings(self) -> dict[str, str]:
        """JSON by field."""
        return {key: json.dumps(value) for key, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_strings(cls, strings: Mapping[str, str], source: str) -> Metadata:
        """Inverse of `to_strings`; unknown keys are ignored.

        Raises:
            CheckpointError: A field is missing or is not JSON.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in strings]
        if missing:
            raise CheckpointError(
                f'{source} was not written by the export command: its metadata lack '
                f'{", ".join(missing[:3])}'
            )
        try:
            return cls(**{name: json.loads(strings[name]) for name in names})
        except ValueError as error:
            raise CheckpointError(f'{source}: its metadata cannot be read: {error}') from error


def config_text(cfg: Any, keys: Sequence[str] = KEPT) -> str:
    """The entries of a config that inference on a file needs, in the form that mmengine stores."""
    return type(cfg)({key: cfg[key] for key in keys if key in cfg}).pretty_text


def digest(text: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
