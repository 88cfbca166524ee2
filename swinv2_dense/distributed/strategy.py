"""Config checks of sharded training."""

from __future__ import annotations

from mmengine.config import Config

from ..config_parts import type_name
from ..errors import ConfigError


def check_sharding(cfg: Config) -> None:
    """Check that sharded training runs in several processes, and what cannot be sharded.

    Raises:
        ConfigError: It was started as a single process, or is not possible.
    """
    kind = type_name(cfg.get('strategy'))
    if kind == 'FSDPStrategy':
        raise ConfigError(
            f'strategy.type={kind!r} of mmengine cannot resume, and hides the shapes of parameters '
            "from weight decay; use strategy.type='ShardedStrategy' "
            '(configs/_base_/schedules/fsdp.py)'
        )
    hooks = [type_name(hook) for hook in cfg.get('custom_hooks') or []]
    if kind == 'ShardedStrategy' and 'EMAHook' in hooks:
        raise ConfigError(
            f'custom_hooks has an EMAHook, which copies the model, and strategy.type={kind!r} '
            'shards it; remove the hook, or train without a strategy'
        )
    if kind in ('ShardedStrategy', 'ZeroStrategy') and cfg.get('launcher', 'none') == 'none':
        raise ConfigError(
            f'strategy.type={kind!r} needs several processes, one per GPU; start them with '
            'tools/dist_train.sh CONFIG GPUS, or tools/slurm_train.sh'
        )


def without_sharding(cfg: Config) -> None:
    """Drop sharding for tests, whose model fits each device: FSDP writes plain checkpoints."""
    if cfg.get('strategy'):
        cfg.pop('strategy')
        cfg.pop('runner_type', None)
