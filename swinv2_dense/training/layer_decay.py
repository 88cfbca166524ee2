"""Learning rate and weight decay per parameter for models with a SwinV2 backbone."""

from __future__ import annotations

import inspect
import re
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from ..distributed.parameters import unwrapped_name
from ..errors import ConfigError
from ..models import SwinBackbone

# The official code's keywords. Vectors (norm, bias, q_bias, v_bias) are not decayed either.
NO_DECAY = (
    *('cpb_mlp', 'logit_scale', 'relative_position_bias_table', 'absolute_pos_embed'),
    'mask_token',
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SwinV2OptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Optimizer wrapper with SwinV2's weight decay, layer decay and backbone multiplier.

    Norms, biases, q and v biases, logit scales, the log-CPB MLP and SimMIM's mask token are never
    decayed, whatever their learning rate (of mmengine's `custom_keys`, only the longest matching
    key applies).
    `paramwise_cfg` takes `backbone_lr_mult` (default 1) and `layer_decay` (default 1): the learning
    rate of a backbone parameter in layer i of L is lr * backbone_lr_mult * layer_decay**(L-1-i),
    with layers counted as in the official fine-tuning code. It is lr for other parameters. Further
    parameters are not decayed if their name contains one of `no_decay`. Wrappers (DDP, FSDP,
    torch.compile, activation checkpointing) make no difference.

    Raises:
        ValueError: `paramwise_cfg` has other keys.
        ConfigError: Neither the config nor the optimizer class has a learning rate to multiply, or
            the model is wrapped in FSDP1, which flattens parameters.
    """

    PARAMWISE = dict(backbone_lr_mult=1.0, layer_decay=1.0, no_decay=())

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        settings = self.PARAMWISE
        unknown = set(paramwise_cfg or {}) - set(settings)
        if unknown:
            raise ValueError(
                f'optim_wrapper.paramwise_cfg has {sorted(unknown)}; this constructor takes '
                'backbone_lr_mult, layer_decay and no_decay'
            )
        super().__init__(optim_wrapper_cfg, settings | dict(paramwise_cfg or {}))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        self._lr = self._given_or_default_lr()
        if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
            raise ConfigError(
                'the model is wrapped in FullyShardedDataParallel, which hides the shapes of '
                "parameters from weight decay; use strategy.type='ShardedStrategy' "
                '(configs/_base_/schedules/fsdp.py)'
            )
        return super().__call__(model)

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Append a group per combination of learning rate and decay in the model `module`."""
        groups: dict[tuple[float, bool], dict] = {}
        scales = self._lr_scales(module)
        kept = (*NO_DECAY, *self.paramwise_cfg['no_decay'])
        for name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            scale = scales.get(param, 1.0)
            decays = param.dim() > 1 and not any(key in name for key in kept)
            if (scale, decays) not in groups:
                group = dict(params=[])
                if self._lr is not None:
                    group['lr'] = self._lr * scale
                elif scale != 1:
                    raise ConfigError(
                        f'optim_wrapper.optimizer={self.optimizer_cfg} has no lr, which '
                        'paramwise_cfg (layer_decay, backbone_lr_mult) multiplies; set '
                        'optim_wrapper.optimizer.lr'
                    )
                if not decays:
                    group['weight_decay'] = 0.0
                groups[scale, decays] = group
                params.append(group)
            groups[scale, decays]['params'].append(param)

    def _given_or_default_lr(self) -> float | None:
        """The learning rate of the config, or the default of the optimizer class."""
        if 'lr' in self.optimizer_cfg:
            return self.optimizer_cfg['lr']
        kind = self.optimizer_cfg['type']
        if isinstance(kind, str):
            with OPTIMIZERS.switch_scope_and_registry(None) as registry:
                kind = registry.get(kind)
        lr = kind and inspect.signature(kind).parameters.get('lr')
        return lr.default if lr and isinstance(lr.default, (int, float)) else None

    def _lr_scales(self, model: nn.Module) -> dict[nn.Parameter, float]:
        """Learning rate multipliers of the backbone parameters in `model`."""
        scales = {}
        decay, mult = self.paramwise_cfg['layer_decay'], self.paramwise_cfg['backbone_lr_mult']
        for module in model.modules():
            if isinstance(module, SwinBackbone):
                depths = [len(stage.blocks) for stage in module.layers]
                for name, param in module.named_parameters():
                    layer = layer_id(unwrapped_name(name), depths)
                    scales[param] = mult * decay ** (sum(depths) + 1 - layer)
        return scales


def layer_id(name: str, depths: list[int]) -> int:
    """Layer of a backbone parameter: 0 for patch embedding, one per block, last for output norms.

    Patch merging belongs to the preceding block, as in the official `get_swin_layer`.
    """
    if name.startswith('patch_embed.'):
        return 0
    block = re.match(r'layers\.(\d+)\.blocks\.(\d+)\.', name)
    if block:
        stage, index = map(int, block.groups())
        return sum(depths[:stage]) + index + 1
    merging = re.match(r'layers\.(\d+)\.downsample\.', name)
    if merging:
        return sum(depths[: int(merging[1]) + 1])
    return sum(depths) + 1
