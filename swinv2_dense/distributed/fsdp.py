"""Sharded training (FSDP) of SwinV2 models; see configs/_base_/schedules/fsdp.py."""

from __future__ import annotations

import contextlib
import copy
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from mmengine._strategy import FSDPStrategy, SingleDeviceStrategy
from mmengine.device import get_device
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.optim import BaseOptimWrapper
from mmengine.registry import FUNCTIONS, STRATEGIES
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from ..atomic_files import draft_of, remove
from ..checkpoints import shards
from ..errors import CheckpointError, ConfigError
from ..models.blocks import SwinBlock
from ..shared_errors import shared_errors
from .parameters import init_weights_on_rank0, unwrapped_name
from .sync_batch_norm import convert_sync_batchnorm


@FUNCTIONS.register_module()
def swin_block_policy(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
    """`auto_wrap_policy` that gathers the parameters of one SwinV2 block at a time.

    All others stay gathered for the whole step. A policy by size would also wrap heads, but mmdet
    calls their `loss` and `predict`, and FSDP gathers parameters in `forward` only.
    """
    return recurse or isinstance(module, SwinBlock)


@STRATEGIES.register_module()
class ShardedStrategy(FSDPStrategy):
    """mmengine's `FSDPStrategy` that can resume, clips by the global norm and runs on CPUs, too.

    mmengine 0.10.7 passes FSDP the optimizer state with an argument order that torch 2.1 changed,
    clips each shard by the norm of that shard, and requires a GPU.

    Args:
        state_dict_cfg: Format of checkpoints. 'full': one file, gathered by rank 0. 'local': a
            folder with a file per rank, without gathering (checkpoints/shards.py).
        settings: Further arguments of `FSDPStrategy`.

    Raises:
        ConfigError: `state_dict_cfg` is neither.
    """

    def __init__(self, *, state_dict_cfg: str = 'full', **settings: Any) -> None:
        if state_dict_cfg not in ('full', 'local'):
            raise ConfigError(
                f"strategy.state_dict_cfg={state_dict_cfg!r}: 'full' writes a file, 'local' a "
                'folder with a file per process'
            )
        super().__init__(state_dict_cfg='full', **settings)
        self.in_shards = state_dict_cfg == 'local'
        if get_device() == 'cpu':  # torch would free what it "offloads"
            self.state_dict_config.offload_to_cpu = False
            self.optim_state_dict_config.offload_to_cpu = False

    def _init_model_weights(self, model: nn.Module) -> nn.Module:
        return init_weights_on_rank0(model)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        state = model.state_dict()
        self._names, self._metadata = list(state), state._metadata
        named = model.named_parameters(remove_duplicate=False)
        self._shapes = {name: list(param.shape) for name, param in named}
        del state  # else the full parameters outlive their shards
        if get_device() == 'cpu':
            convert_sync_batchnorm(model)
            self.model_wrapper = dict(self.model_wrapper or {}, device_id=torch.device('cpu'))
        wrapped = super()._wrap_model(model)
        # While gradients accumulate, `no_sync` of FSDP would keep them unsharded.
        wrapped.no_sync = contextlib.nullcontext
        return wrapped

    def build_optim_wrapper(
        self, optim_wrapper: Any, model: nn.Module | None = None
    ) -> BaseOptimWrapper:
        wrapper = super().build_optim_wrapper(optim_wrapper, model)
        if getattr(wrapper, 'clip_func', None) is nn.utils.clip_grad_norm_:
            wrapper.clip_func = lambda params, **settings: model.clip_grad_norm_(**settings)
        return wrapper

    def load_checkpoint(self, filename: str, **settings: Any) -> dict:
        # mmengine resumes to the device by default: each GPU would hold the full checkpoint.
        settings['map_location'] = 'cpu'
        return SingleDeviceStrategy.load_checkpoint(self, filename, **settings)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load an optimizer state with numbered parameters, as training without FSDP stores it."""
        optimizer, names = self.optim_wrapper.optimizer, self._optimized()
        count = sum(len(group['params']) for group in state_dict['param_groups'])
        if count != len(names):
            raise CheckpointError(
                f'the optimizer state of the checkpoint has {count} parameters, and the optimizer '
                f'of this training {len(names)}: resume with the config that wrote it'
            )
        named = _renamed(state_dict, dict(enumerate(names)))
        state = FullyShardedDataParallel.optim_state_dict_to_load(self.model, optimizer, named)
        self.optim_wrapper.load_state_dict(named | state)

    def save_checkpoint(self, filename: str, **settings: Any) -> None:
        """Write a checkpoint atomically; all ranks must call this together."""
        if not self.in_shards:
            super().save_checkpoint(filename, **settings)
            return
        folder = Path(filename)
        draft = draft_of(folder, 'shards')  # one for all ranks; `replacing` would give each its own
        if is_main_process():
            remove(draft)
        barrier()
        layout = dict(count=get_world_size(), shapes=self._shapes, optimized=self._optimized())
        extra = {**(settings.pop('extra_ckpt', None) or {}), shards.KEY: layout}
        file = str(draft / shards.FILE.format(get_rank()))
        with shared_errors():  # one rank's disk may be full
            SingleDeviceStrategy.save_checkpoint(self, file, extra_ckpt=extra, **settings)
        with shared_errors():
            if is_main_process():
                remove(folder)  # a rename replaces no folder that holds files
                draft.rename(folder)

    def model_state_dict(self) -> dict:
        """Parameters and buffers by name; parameters are full or the flat shards of this rank."""
        if not self.in_shards:
            return super().model_state_dict()
        named = dict(self.model.named_buffers(remove_duplicate=False))
        named.update(self.model.named_parameters(remove_duplicate=False))
        own = {unwrapped_name(name): value.detach().cpu() for name, value in named.items()}
        state = OrderedDict((name, own[name]) for name in self._names)
        state._metadata = copy.deepcopy(self._metadata)
        return state

    def optim_state_dict(self) -> dict:
        """State and groups by parameter number, full or the shards of this rank."""
        own = self.optim_wrapper.state_dict()
        if self.in_shards:
            return own
        full = super().optim_state_dict()  # by name, on rank 0 only
        numbers = {name: number for number, name in enumerate(self._optimized())}
        return own | _renamed(full, numbers) if full else {}

    def _optimized(self) -> list[str]:
        """Parameter names in the order in which the optimizer numbers them."""
        names = {param: unwrapped_name(name) for name, param in self.model.named_parameters()}
        groups = self.optim_wrapper.optimizer.param_groups
        return [names[param] for group in groups for param in group['params']]


def _renamed(state_dict: dict, names: dict) -> dict:
    """An optimizer state with its parameter keys replaced."""
    state = {names[key]: value for key, value in state_dict['state'].items()}
    groups = [
        dict(group, params=[names[key] for key in group['params']])
        for group in state_dict['param_groups']
    ]
    return state_dict | dict(state=state, param_groups=groups)
