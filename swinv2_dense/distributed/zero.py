"""ZeRO-1: sharded optimizer state; see configs/_base_/schedules/zero1.py."""

from __future__ import annotations

from typing import Any

import torch
from mmengine._strategy import DDPStrategy
from mmengine.config import ConfigDict
from mmengine.optim import BaseOptimWrapper
from mmengine.registry import STRATEGIES
from torch import Tensor, nn

from ..config_parts import type_name
from ..errors import ConfigError
from .mapped_checkpoints import MappedCheckpoints
from .parameters import init_weights_on_rank0


@STRATEGIES.register_module()
class ZeroStrategy(MappedCheckpoints, DDPStrategy):
    """DDP with the config's optimizer inside torch's `ZeroRedundancyOptimizer`.

    Each rank keeps the moments of some parameters, updates these parameters and broadcasts them.
    mmengine's `DDPStrategy` gathers the optimizer state, a collective, on rank 0 only, which would
    wait forever.

    Raises:
        ConfigError: The optimizer is not one of torch.optim, or there are several.
    """

    def _init_model_weights(self, model: nn.Module) -> nn.Module:
        return init_weights_on_rank0(model)

    def build_optim_wrapper(
        self, optim_wrapper: Any, model: nn.Module | None = None
    ) -> BaseOptimWrapper:
        return super().build_optim_wrapper(with_zero(optim_wrapper), model)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        super().load_optim_state_dict(state_dict)
        optimizer = self.optim_wrapper.optimizer
        optimizer.state.clear()  # torch leaves a second, unused copy of this rank's state here
        for state in optimizer.optim.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.device.type == 'cpu':
                    state[key] = value.clone()  # not that of the file

    def save_checkpoint(
        self, filename: str, *, save_optimizer: bool = True, **settings: Any
    ) -> None:
        """Write the same checkpoint as plain DDP; all ranks must call this together."""
        self._optim_state = super().optim_state_dict() if save_optimizer else {}
        super().save_checkpoint(filename, save_optimizer=save_optimizer, **settings)
        self._optim_state = {}
        self.optim_wrapper.optimizer._all_state_dicts = []  # else rank 0 keeps the full state

    def optim_state_dict(self) -> dict:
        """What `save_checkpoint` gathered: the full state on rank 0, nothing on others."""
        return self._optim_state


def with_zero(optim_wrapper: Any) -> dict:
    """Config of an optimizer wrapper with a sharded optimizer."""
    optimizer = optim_wrapper.get('optimizer') if isinstance(optim_wrapper, dict) else None
    if not isinstance(optimizer, dict):
        raise ConfigError(
            "strategy.type='ZeroStrategy' needs the config of one optimizer in "
            'optim_wrapper.optimizer'
        )
    kind = type_name(optimizer)
    if not hasattr(torch.optim, kind):
        raise ConfigError(
            f"strategy.type='ZeroStrategy' needs an optimizer of torch.optim, and "
            f'optim_wrapper.optimizer.type={kind!r} is not one'
        )
    zero = dict(optimizer, type='ZeroRedundancyOptimizer', optimizer_type=kind)
    return ConfigDict(optim_wrapper, optimizer=zero)
