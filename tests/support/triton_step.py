"""A training step of a narrow backbone, and of one that is sharded: `triton_step.py FOLDER`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from window_cases import randomized

from swinv2_dense import SwinTransformerV2
from swinv2_dense.models.blocks import SwinBlock


def training_step(
    backend: str, dtype: torch.dtype | None = None, with_cp: bool = False, shard: bool = False
) -> dict[str, Tensor]:
    """Loss and gradients by name; the interpreter takes a second per block."""
    torch.manual_seed(0)
    model = SwinTransformerV2(
        dict(embed_dims=16, depths=(2,), num_heads=(1,)),
        window_size=4,
        out_indices=(0,),
        drop_path_rate=0.0,
        with_cp=with_cp,
        attention_backend=backend,
    )
    randomized(model)
    image = torch.randn(1, 3, 20, 24)
    if shard:
        mesh = init_device_mesh('cpu', (dist.get_world_size(),))
        for unit in (*(m for m in model.modules() if isinstance(m, SwinBlock)), model):
            fully_shard(unit, mesh=mesh)
    autocast = torch.autocast('cpu', dtype) if dtype else contextlib.nullcontext()
    with autocast:
        (features,) = model(image)
    loss = (features.float() * torch.linspace(-1, 1, features.numel()).view_as(features)).sum()
    loss.backward()
    found = dict(loss=loss.detach())
    for name, parameter in model.named_parameters():
        grad = parameter.grad
        found[name] = grad.full_tensor() if isinstance(grad, DTensor) else grad
    return found


if __name__ == '__main__':
    dist.init_process_group('gloo')
    found = training_step('triton', shard=True)
    if dist.get_rank() == 0:
        torch.save(found, Path(sys.argv[1]) / 'step.pth')
    dist.barrier()
    dist.destroy_process_group()
