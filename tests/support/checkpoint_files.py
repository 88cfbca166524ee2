"""Checkpoint files, valid and malicious."""

from __future__ import annotations

import io
from collections import OrderedDict

import pytest
import torch

from swinv2_dense import SwinTransformerV2


class Payload:
    """Pickled as a call."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple:
        return self.call


def by_init_cfg(path: str) -> None:
    init_cfg = dict(type='Pretrained', checkpoint=path)
    SwinTransformerV2(init_cfg=init_cfg).init_weights()


def weights() -> dict:
    return OrderedDict(weight=torch.arange(100.0), bias=torch.zeros(3, dtype=torch.bfloat16))


def whole(kind: str) -> bytes:
    """A small file with the weights above."""
    if kind == 'safetensors':
        return pytest.importorskip('safetensors.torch').save(dict(weights()))
    file = io.BytesIO()
    torch.save(weights(), file, _use_new_zipfile_serialization=kind == 'zip')
    return file.getvalue()


KINDS = ('zip', 'legacy', 'safetensors')
