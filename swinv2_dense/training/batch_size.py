"""The batch of a run against the one that the learning rate of its config is meant for.

`auto_scale_lr.base_batch_size` is the number of samples in one step of the optimizer: of all
processes, and of all backward passes whose gradients are accumulated. mmengine's own scaling counts
no accumulation, so the learning rate is scaled here, in the config, and mmengine's is turned off.
"""

from __future__ import annotations

from typing import NamedTuple

from mmengine.config import Config, ConfigDict

from ..distributed.launchers import world_size
from ..errors import ConfigError


class Batch(NamedTuple):
    """What one step of the optimizer sees: `samples` per process and backward pass."""

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


def batch_of(cfg: Config) -> Batch:
    """The batch that this process and those started with it will train on.

    Raises:
        ConfigError: See `world_size`.
    """
    return Batch(
        world_size(cfg.get('launcher', 'none')),
        cfg.train_dataloader.get('batch_size', 1),
        cfg.optim_wrapper.get('accumulative_counts', 1),
    )


def scale_learning_rate(cfg: Config, scale: bool) -> str | None:
    """Compare the actual batch with the config's, and scale the learning rate if wanted.

    The rate is scaled linearly (arXiv 1706.02677, section 2.1), and `base_batch_size` becomes the
    actual batch: the config that a run writes holds a rate and the batch that it is for. Lengths of
    schedules stay.

    Args:
        cfg: Changed in place.
        scale: Scale; so does `auto_scale_lr.enable` of the config.

    Returns:
        What to say about it; None if both batches are equal, or the config states none.

    Raises:
        ConfigError: It is to be scaled, but the config states no batch or no learning rate.
    """
    stated = cfg.get('auto_scale_lr') or {}
    base, scale = stated.get('base_batch_size'), scale or stated.get('enable', False)
    optimizer = cfg.get('optim_wrapper', {}).get('optimizer') or {}
    rate = optimizer.get('lr')
    if scale and base is None:
        raise ConfigError(
            '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N) in the config: the batch '
            'size over all GPUs and accumulated parts that its lr is meant for'
        )
    if scale and rate is None:
        raise ConfigError('--auto-scale-lr needs optim_wrapper.optimizer.lr in the config')
    if base is None:
        return None
    batch = batch_of(cfg)
    meant = f'optim_wrapper.optimizer.lr={rate} is meant for {base} samples per step'
    if not scale and batch.size != base:
        return (
            f'{meant} (auto_scale_lr.base_batch_size), but a step takes {batch}. Scale it with '
            f'--auto-scale-lr, or change one of the three'
        )
    if not scale:
        return None
    optimizer.lr = rate * batch.size / base
    cfg.auto_scale_lr = ConfigDict(enable=False, base_batch_size=batch.size)
    return f'{meant}, and a step takes {batch}: scaled to {optimizer.lr}'
