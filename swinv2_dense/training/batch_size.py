"""Learning rates that match the batch size.

`auto_scale_lr.base_batch_size` is the number of samples per optimizer step: over all processes and
all accumulated backward passes. mmengine's own scaling ignores accumulation, so the learning rate
is scaled here, in the config, and mmengine's scaling is turned off.
"""

from __future__ import annotations

from typing import NamedTuple

from mmengine.config import Config, ConfigDict

from ..distributed.launchers import world_size
from ..errors import ConfigError
from ..resilience.micro_batches import micro_batches_of


class StepBatch(NamedTuple):
    """The samples of one optimizer step: `samples` per process and backward pass."""

    processes: int
    samples: int
    passes: int

    @property
    def size(self) -> int:
        return self.processes * self.samples * self.passes

    def __str__(self) -> str:
        return (
            f'{self.size} samples (processes {self.processes} x train_dataloader.batch_size '
            f'{self.samples} x optim_wrapper.accumulative_counts {self.passes})'
        )


def batch_of(cfg: Config) -> StepBatch:
    """The batch of a run, over all of its processes.

    Raises:
        ConfigError: See `world_size`.
    """
    processes = world_size(cfg.get('launcher', 'none'))
    passes = cfg.optim_wrapper.get('accumulative_counts', 1)
    plan = micro_batches_of(cfg.get('train_cfg') or {})
    if plan is None:
        return StepBatch(processes, cfg.train_dataloader.get('batch_size', 1), passes)
    return StepBatch(processes, plan.size, plan.number * passes // processes)


def scale_learning_rate(cfg: Config, scale: bool) -> str | None:
    """Compare the actual batch size with the config's, and scale the learning rate on request.

    The rate is scaled linearly (arXiv 1706.02677, section 2.1), and `base_batch_size` becomes the
    actual batch size, so that the saved config is consistent. The lengths of schedules do not
    change.

    Args:
        cfg: Changed in place.
        scale: Scale the rate; `auto_scale_lr.enable` of the config has the same effect.

    Returns:
        A line for the log; None if both sizes are equal, or the config has none.

    Raises:
        ConfigError: The config lacks a batch size or a learning rate to scale.
    """
    stated = cfg.get('auto_scale_lr') or {}
    base, scale = stated.get('base_batch_size'), scale or stated.get('enable', False)
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    rate = optimizer.get('lr')
    if scale and base is None:
        raise ConfigError(
            '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N) in the config: the batch '
            'size, over all GPUs and accumulated passes, that its lr is meant for'
        )
    if scale and rate is None:
        raise ConfigError('--auto-scale-lr needs optim_wrapper.optimizer.lr in the config')
    if base is None:
        return None
    batch = batch_of(cfg)
    meant = f'optim_wrapper.optimizer.lr={rate} is meant for {base} samples per step'
    if not scale and batch.size != base:
        return (
            f'{meant} (auto_scale_lr.base_batch_size), but a step has {batch}. Scale it with '
            f'--auto-scale-lr, or change one of the three'
        )
    if not scale:
        return None
    optimizer.lr = rate * batch.size / base
    cfg.auto_scale_lr = ConfigDict(enable=False, base_batch_size=batch.size)
    return f'{meant}, and a step has {batch}: scaled to {optimizer.lr}'
