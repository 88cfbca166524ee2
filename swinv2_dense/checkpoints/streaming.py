"""Write what `torch.save` writes, holding one tensor at a time.

`torch.save` needs all tensors in memory. The format is simple: an uncompressed zip file with a
pickle, in which each tensor is a reference to an entry of the file, and these entries.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

ROOT = 'archive'  # the folder in the zip file; any name works
VERSION = b'3\n'  # of the format, in torch >= 1.6
ALIGNMENT = 64  # bytes, so that values can be used in place when the file is mapped
HEADER = 30 + 20  # bytes of a zip entry's header without its name and padding, and of zip64's sizes
PADDING = 0x4246  # type of the header field that torch pads with


class _Storage(NamedTuple):
    """The values of a tensor, in entry data/KEY of the zip file."""

    kind: type
    key: str
    numel: int


class _Pickler(pickle.Pickler):
    """Pickles tensors as references, and keeps them in `tensors`."""

    def __init__(self, buffer: io.BytesIO, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__(buffer, protocol=2)
        self.change = change
        self.tensors: list[Tensor] = []

    def persistent_id(self, obj: Any) -> tuple | None:
        if isinstance(obj, _Storage):
            return ('storage', obj.kind, obj.key, 'cpu', obj.numel)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, Tensor):
            return NotImplemented
        obj = self.change(obj)
        name = torch.empty(0, dtype=obj.dtype).type().replace('Tensor', 'Storage')
        kind = getattr(torch, name.removeprefix('torch.'))
        storage = _Storage(kind, str(len(self.tensors)), obj.numel())
        self.tensors.append(obj)
        stride = torch.empty(obj.shape, device='meta').stride()
        hooks: OrderedDict = OrderedDict()
        arguments = (storage, 0, tuple(obj.shape), stride, False, hooks)
        return torch._utils._rebuild_tensor_v2, arguments


def pickled(
    checkpoint: Any, change: Callable[[Tensor], Tensor] = lambda tensor: tensor
) -> tuple[bytes, list[Tensor]]:
    """The pickle of a checkpoint, and its tensors in the order in which `write` takes them.

    Tensors may be sharded, and are not copied. Those that share memory are written one by one.

    Args:
        change: What to write instead of a tensor.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, change)
    pickler.dump(checkpoint)
    return buffer.getvalue(), pickler.tensors


def write(path: Path, pickle_of_all: bytes, tensors: Iterable[Tensor]) -> None:
    """Write a checkpoint file, with the values of `tensors` as they come, on any device."""
    with path.open('wb') as file, zipfile.ZipFile(file, 'w') as archive:

        def add(name: str, content: bytes | memoryview) -> None:
            _add(archive, file.tell(), name, content)

        add('data.pkl', pickle_of_all)
        add('version', VERSION)
        add('byteorder', sys.byteorder.encode())
        for key, tensor in enumerate(tensors):
            values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
            add(f'data/{key}', values.numpy().data)


def _add(archive: zipfile.ZipFile, at: int, name: str, content: bytes | memoryview) -> None:
    """Write an entry that starts `at` a position, with its content aligned."""
    entry = zipfile.ZipInfo(f'{ROOT}/{name}')
    padding = -(at + HEADER + len(entry.filename) + 4) % ALIGNMENT
    entry.extra = struct.pack('<HH', PADDING, padding) + bytes(padding)
    with archive.open(entry, 'w', force_zip64=True) as file:
        file.write(content)
