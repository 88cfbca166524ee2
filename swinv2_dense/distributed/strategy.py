"""Config checks of sharded training."""

from __future__ import annotations

from mmengine.config import Config

from ..config_parts import type_name
from ..errors import ConfigError


def check_sharding(cfg: Config) -> None:
    """Check that sharded training runs in several processes.

    Raises:
        ConfigError: It was started as a single process.
    """
    kind = type_name(cfg.get('strategy'))
    sharding = ('ShardedStrategy', 'FSDPStrategy', 'ZeroStrategy')
    if kind in sharding and cfg.get('launcher', 'none') == 'none':
        raise ConfigError(
            f'strategy.type={kind!r} needs several processes, one per GPU; start them with '
            'tools/dist_train.sh CONFIG GPUS, or tools/slurm_train.sh'
        )


def without_sharding(cfg: Config) -> None:
    """Drop sharding for tests, whose model fits each device: FSDP writes plain checkpoints."""
    if cfg.get('strategy'):
        cfg.pop('strategy')
        cfg.pop('runner_type', None)
