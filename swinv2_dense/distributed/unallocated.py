"""Build and initialize a model of which no process has to hold all parameters in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

SMALL = 2**20  # bytes of a parameter that stays in memory


@contextmanager
def parameters_out_of_memory(folder: Path) -> Iterator[None]:
    """In the block, modules are built without memory for their parameters.

    On rank 0, which initializes them, parameters are mapped to files without a name in `folder`;
    the system writes them there when it needs the memory, and removes the files with the tensors.
    On other ranks, whose values nobody reads, all parameters are views of the same memory. So any
    code of a constructor or of `init_weights` works, which it does not on the meta device.

    Raises:
        OSError: In the block, on rank 0: `folder` has no space.
    """
    move = _to_file(folder) if is_main_process() else _to_shared_memory()

    def on_registration(module: nn.Module, name: str, param: nn.Parameter) -> None:
        if param.nbytes > SMALL:
            with torch.no_grad():
                param.data = move(param.data)

    handle = register_module_parameter_registration_hook(on_registration)
    try:
        yield
    finally:
        handle.remove()


def _to_file(folder: Path) -> Callable[[Tensor], Tensor]:
    folder.mkdir(parents=True, exist_ok=True)

    def move(value: Tensor) -> Tensor:
        with tempfile.NamedTemporaryFile(dir=folder, prefix='.init.pth.', suffix='.part') as file:
            if hasattr(os, 'posix_fallocate'):  # else a full disk kills the process that writes
                os.posix_fallocate(file.fileno(), 0, value.nbytes)
            mapped = torch.from_file(file.name, shared=True, size=value.numel(), dtype=value.dtype)
        return mapped.view(value.shape).copy_(value)

    return move


def _to_shared_memory() -> Callable[[Tensor], Tensor]:
    shared = torch.empty(0, dtype=torch.uint8)

    def move(value: Tensor) -> Tensor:
        nonlocal shared
        if shared.nbytes < value.nbytes:
            shared = torch.empty(value.nbytes, dtype=torch.uint8)
        return shared[: value.nbytes].view(value.dtype).view(value.shape)

    return move
