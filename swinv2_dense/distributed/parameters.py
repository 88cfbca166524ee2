"""Parameters of wrapped and sharded models."""

from __future__ import annotations

import re
from typing import Any

import torch
from mmengine.dist import broadcast, broadcast_object_list, is_main_process
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from ..checkpoints.formats import WRAPPERS
from ..shared_errors import shared_errors


def init_weights_on_rank0(model: nn.Module) -> nn.Module:
    """Initialize a model on rank 0, the only one that reads a checkpoint, and broadcast it.

    Raises:
        Exception: The error of rank 0, on all ranks.
    """
    init_on_rank0_only(model)
    for value in model.state_dict().values():
        broadcast(value)
    return model


def init_on_rank0_only(model: nn.Module) -> None:
    """Initialize a model on rank 0; the others get only the pretrained windows of its backbones.

    Raises:
        Exception: The error of rank 0, on all ranks.
    """
    with shared_errors():
        if is_main_process():
            model.init_weights()
    backbones = [m for m in model.modules() if hasattr(m, 'set_pretrained_window_sizes')]
    windows = [backbone.pretrained_window_sizes for backbone in backbones]
    broadcast_object_list(windows)  # a checkpoint sets them, too
    for backbone, sizes in zip(backbones, windows):
        backbone.set_pretrained_window_sizes(sizes, 'process 0')


def unwrapped_name(name: str) -> str:
    """A parameter's name without the prefixes of DDP, FSDP, torch.compile and checkpointing."""
    return re.sub(r'^(module\.)+', '', WRAPPERS.sub('', name))


def unsharded_shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Shape of every parameter, whole if it is sharded (a DTensor), by unwrapped name."""
    named = model.named_parameters(remove_duplicate=False)
    return {unwrapped_name(name): param.shape for name, param in named}


def unwrapped_model(model: Any) -> Any:
    """The model inside wrappers for distributed training and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
