"""ZeRO by DeepSpeed, where it is installed; configs/_base_/schedules/deepspeed_zero1.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine._strategy import DeepSpeedStrategy
from mmengine.config import Config, ConfigDict
from mmengine.registry import STRATEGIES
from torch import nn

from ..config_parts import type_name
from ..errors import ConfigError

WRAPPERS = ('OptimWrapper', 'Bf16OptimWrapper', 'DeepSpeedOptimWrapper')


@STRATEGIES.register_module()
class DeepSpeedZeroStrategy(DeepSpeedStrategy):
    """mmengine's `DeepSpeedStrategy` with checkpoints whose weights can be read as such.

    DeepSpeed writes its settings into them, which mmengine gives as objects of its configs.
    """

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        self.config = plain(self.config)
        return super()._wrap_model(model)


def plain(value: Any) -> Any:
    """The dicts and lists in a part of a config, in Python's own types."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def fit_deepspeed(cfg: Config) -> None:
    """Give DeepSpeed what a config says of the step: batch, accumulation, clipping and bf16.

    mmengine's strategy takes them as settings of its own, and a wrapper of the optimizer
    that has none. Settings of `strategy` that are there stay.

    Raises:
        ConfigError: DeepSpeed is missing, or cannot do what the config asks for.
    """
    strategy = cfg.get('strategy') or {}
    if type_name(strategy) != 'DeepSpeedZeroStrategy':
        return
    _check_installed()
    if cfg.get('load_from') and not cfg.get('resume'):
        raise ConfigError(
            f'load_from={cfg.load_from!r}: DeepSpeed loads its own folders alone; give weights '
            'with model.init_cfg or model.backbone.init_cfg'
        )
    wrapper = cfg.optim_wrapper
    if type_name(wrapper) not in WRAPPERS:
        raise ConfigError(
            f'optim_wrapper.type={type_name(wrapper)!r}: DeepSpeed takes the place of OptimWrapper '
            'and Bf16OptimWrapper'
        )
    settings = strategy.setdefault('config', ConfigDict())
    settings.setdefault('zero_allow_untested_optimizer', True)
    if type_name(wrapper) == 'Bf16OptimWrapper':
        settings.setdefault('torch_autocast', dict(enabled=True, dtype='bfloat16'))
    strategy.setdefault('train_micro_batch_size_per_gpu', cfg.train_dataloader.batch_size)
    strategy.setdefault('gradient_accumulation_steps', wrapper.pop('accumulative_counts', 1))
    clip = wrapper.pop('clip_grad', None)
    if clip:
        strategy.setdefault('gradient_clipping', _largest_norm(clip))
    wrapper.type = 'DeepSpeedOptimWrapper'


def _check_installed() -> None:
    try:
        from deepspeed.runtime.fp16 import onebit  # noqa: F401  which mmengine 0.10.7 imports
    except ImportError as error:
        raise ConfigError(
            f"strategy.type='DeepSpeedZeroStrategy' needs DeepSpeed as mmengine knows it: {error}. "
            'pip install deepspeed==0.17.6'
        ) from error


def _largest_norm(clip: Mapping[str, Any]) -> float:
    if clip.get('type', 'norm') != 'norm' or clip.get('norm_type', 2) != 2:
        raise ConfigError(f'optim_wrapper.clip_grad={dict(clip)}: DeepSpeed clips the 2-norm alone')
    return clip['max_norm']
