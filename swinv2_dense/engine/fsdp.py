"""Sharded training (FSDP) of models with a SwinV2 backbone; configs/_base_/schedules/fsdp.py."""

from __future__ import annotations

import re
from typing import Any

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import BaseOptimWrapper
from mmengine.registry import FUNCTIONS, STRATEGIES
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from ..checkpoints.formats import WRAPPERS
from ..models.blocks import SwinBlock
from .config_parts import ConfigError


@FUNCTIONS.register_module()
def swin_block_policy(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
    """`auto_wrap_policy` that gathers the parameters of one SwinV2 block at a time.

    All others are gathered for the whole step. A policy by size would wrap heads, too: mmdet calls
    their `loss` and `predict`, and FSDP gathers parameters in `forward` alone.
    """
    return recurse or isinstance(module, SwinBlock)


def plain_name(name: str) -> str:
    """A parameter's name without what DDP, FSDP, torch.compile and checkpointing put in it."""
    return re.sub(r'^(module\.)+', '', WRAPPERS.sub('', name))


def full_shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Shape of every parameter by its plain name; of a sharded one, before it was sharded.

    FSDP leaves each process a flat, maybe empty piece of a parameter. All processes must call this
    together, and with the outermost wrapper: the first unit that gathers becomes FSDP's root.
    """
    shapes = {param: param.shape for param in model.parameters()}
    for unit in FullyShardedDataParallel.fsdp_modules(model):  # outer ones before those in them
        with FullyShardedDataParallel.summon_full_params(unit, recurse=False, writeback=False):
            shapes.update((param, param.shape) for param in unit.parameters())
    named = model.named_parameters(remove_duplicate=False)
    return {plain_name(name): shapes[param] for name, param in named}


@STRATEGIES.register_module()
class ShardedStrategy(FSDPStrategy):
    """mmengine's `FSDPStrategy` that resumes, and clips gradients by their whole norm.

    mmengine 0.10.7 passes FSDP the optimizer's state in an order of arguments that torch 2.1
    changed, and clips the shard of each process by the norm of that shard.
    """

    def build_optim_wrapper(
        self, optim_wrapper: Any, model: nn.Module | None = None
    ) -> BaseOptimWrapper:
        wrapper = super().build_optim_wrapper(optim_wrapper, model)
        if getattr(wrapper, 'clip_func', None) is nn.utils.clip_grad_norm_:
            wrapper.clip_func = lambda params, **settings: model.clip_grad_norm_(**settings)
        return wrapper

    def load_optim_state_dict(self, state_dict: dict) -> None:
        optimizer = self.optim_wrapper.optimizer
        state = FullyShardedDataParallel.optim_state_dict_to_load(self.model, optimizer, state_dict)
        self.optim_wrapper.load_state_dict(state)


def check_sharding(cfg: Config) -> None:
    """Check what sharded training needs of a run.

    Raises:
        ConfigError: It is started as one process, or without a device.
    """
    kind = (cfg.get('strategy') or {}).get('type')
    kind = getattr(kind, '__name__', kind)
    if kind not in ('ShardedStrategy', 'FSDPStrategy'):
        return
    if get_device() == 'cpu':
        raise ConfigError(f'strategy.type={kind!r} needs a GPU, and torch finds none')
    if cfg.get('launcher', 'none') == 'none':
        raise ConfigError(
            f'strategy.type={kind!r} needs one process per GPU; start it with '
            'torchrun --nproc_per_node=GPUS tools/train.py CONFIG --launcher pytorch'
        )


def without_sharding(cfg: Config) -> None:
    """Make a config run whole on each device, for testing: a checkpoint of FSDP is a plain one."""
    if cfg.get('strategy'):
        cfg.pop('strategy')
        cfg.pop('runner_type', None)
