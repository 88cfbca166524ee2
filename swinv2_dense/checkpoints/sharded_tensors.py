"""Sharded parameters and the full tensors of checkpoints.

Under FSDP a parameter, its gradient and its moments are DTensors: of N processes, each holds the
rows `torch.chunk(full, N)[rank]`, and `shape` is that of the full tensor. Rows of one tensor are
adjacent in a file, so a process that maps a checkpoint into memory reads only what it keeps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.overrides import TorchFunctionMode


def own_rows(full: Tensor, like: DTensor) -> Tensor:
    """The rows of a full tensor, (D, ...), that this process holds of `like`: (d, ...), a view."""
    rank = like.device_mesh.get_local_rank()
    chunks = full.chunk(like.device_mesh.size())
    return chunks[rank] if rank < len(chunks) else full[:0]


def placed_like(full: Tensor, param: Tensor) -> Tensor:
    """A copy of a full tensor with the dtype, device and sharding of a parameter of its shape."""
    if not isinstance(param, DTensor):
        return full.to(param, copy=True)
    rows = own_rows(full, param).to(param.to_local(), copy=True)
    return DTensor.from_local(
        rows,
        param.device_mesh,
        param.placements,
        run_check=False,
        shape=param.shape,
        stride=param.stride(),
    )


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, sharded or not; not a copy."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


class CopyOwnRows(TorchFunctionMode):
    """While it is active, `sharded.copy_(full)` copies the rows of this process.

    torch refuses to mix both. With this, loaders of modules and hooks of a run need not know that
    parameters are sharded.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is torch.Tensor.copy_ and isinstance(args[0], DTensor):
            target, source = args[:2]
            if not isinstance(source, DTensor):
                target.to_local().copy_(own_rows(source.expand(target.shape), target))
                return target
        return func(*args, **(kwargs or {}))
