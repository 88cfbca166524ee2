"""Trainings that continue with another number of processes.

The global batch of a checkpoint stays, and so do the iterations: each process trains on several
micro-batches, or on smaller ones; see `resilience.micro_batches`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.config import Config, ConfigDict
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..checkpoints.meta import read_meta
from ..config_parts import set_custom_hook, type_name
from ..distributed.launchers import world_size
from ..errors import ConfigError
from ..resilience.micro_batches import (
    DEALING_SAMPLERS,
    KEY,
    MicroBatches,
    micro_batches_of,
)
from ..resilience.resume import META_KEY, RESUMABLE

PLAIN_BATCHES = ('', 'BatchSampler')


class StoredBatch(NamedTuple):
    """How a checkpoint's steps were divided, see `resilience.resume.batch_of_run`."""

    number: int
    size: int
    passes: int
    processes: int
    planned: bool

    @property
    def samples(self) -> int:
        """Of a step, over all processes."""
        return self.number * self.size * self.passes

    @property
    def division(self) -> str:
        """How the processes that wrote the checkpoint divided it, in words."""
        plan = MicroBatches(self.number, self.size).divided(self.processes, self.passes)
        if plan is None:
            return described(self.number, self.size, self.passes)
        return division(plan, self.processes, self.passes)


def keep_global_batch(cfg: Config, process_means: Sequence[str] = ()) -> str | None:
    """Divide the batch of the resumed checkpoint among the processes of this run.

    Args:
        cfg: Changed in place.
        process_means: See `MicroBatchReportHook`.

    Returns:
        A line that says what was done, for the log; None if nothing was.

    Raises:
        ConfigError: The batch cannot be divided, or its samples could not be the same.
        CheckpointError: The checkpoint cannot be read.
    """
    processes = world_size(cfg.get('launcher', 'none'))
    stored = stored_batch(cfg)
    train_cfg = cfg.get('train_cfg') or {}  # that it is missing is reported later
    plan = _continued(cfg, stored, processes) if stored else micro_batches_of(train_cfg)
    train_cfg.pop(KEY, None)
    if plan is None:
        return _natively_continued(cfg, stored, processes)
    passes = cfg.optim_wrapper.get('accumulative_counts', 1)
    divided = plan.divided(processes, passes)
    if divided is None:
        raise ConfigError(
            f'{processes} processes cannot share the global batch of {plan.samples * passes} '
            f'samples ({described(*plan.origin[:2], passes)}): use a number of processes that '
            f'divides {plan.samples * passes}'
        )
    check_divisible(cfg, divided)
    set_micro_batches(cfg, divided)
    set_custom_hook(cfg, dict(type='MicroBatchReportHook', process_means=[*process_means]))
    if stored and stored.processes == processes:
        return None
    now = division(divided, processes, passes)
    before = stored.division if stored else described(*plan.origin[:2], passes)
    if now == before:
        return None
    return f'{before} -> {now}: global batch {divided.samples * passes} stays'


def division(plan: MicroBatches, processes: int, passes: int) -> str:
    """How processes divide micro-batches, in words."""
    own = plan.number * plan.merged // processes
    return described(processes, plan.size, own * passes // plan.merged)


def described(processes: int, size: int, passes: int) -> str:
    """`8 processes x 2 x 4 accumulated`."""
    text = f'{processes} process{"es" * (processes != 1)} x {size}'
    return text + (f' x {passes} accumulated' if passes > 1 else '')


def set_micro_batches(cfg: Mapping, plan: MicroBatches) -> None:
    """Set the micro-batches of a config, as its loop takes them."""
    settings = {key: value for key, value in plan._asdict().items() if value is not None}
    cfg['train_cfg'][KEY] = ConfigDict(settings)


def stored_batch(cfg: Config) -> StoredBatch | None:
    """The batch in the checkpoint that a config resumes; None if it does not say.

    Raises:
        ConfigError: It was written between two steps, by another number of processes.
        CheckpointError: It cannot be read.
    """
    path = cfg.get('load_from')
    if not cfg.get('resume') or not path or '://' in path:
        return None
    meta = read_meta(path)
    found = (meta.get(META_KEY) or {}).get('batch') or {}
    numbers = [found.get(key) for key in StoredBatch._fields]
    if not all(isinstance(number, int) for number in numbers):  # of an earlier version
        return None
    stored = StoredBatch(*numbers)
    rest = meta.get('iter', 0) % stored.passes
    if rest and stored.processes != world_size(cfg.get('launcher', 'none')):
        raise ConfigError(
            f'{path} was written after {rest} of {stored.passes} accumulated iterations of a '
            f'step, whose gradients only {stored.processes} processes can continue: resume with '
            f'{stored.processes}, or from a checkpoint at a multiple of {stored.passes} iterations'
        )
    return stored


def _continued(cfg: Config, stored: StoredBatch, processes: int) -> MicroBatches | None:
    """The micro-batches of the checkpoint; None if each process takes the batch of its config."""
    size = cfg.train_dataloader.get('batch_size', 1)
    passes = cfg.optim_wrapper.get('accumulative_counts', 1)
    is_changed = processes == stored.processes and not stored.planned  # on purpose
    if is_changed or (passes == stored.passes and processes * size == stored.number * stored.size):
        return None
    if passes != stored.passes:
        raise ConfigError(
            f'optim_wrapper.accumulative_counts={passes}, and the checkpoint was trained with '
            f'{stored.passes} on {stored.number} processes: set {stored.passes}; resuming with '
            f'{processes} processes keeps the global batch without it'
        )
    return MicroBatches(stored.number, stored.size)


def _natively_continued(cfg: Config, stored: StoredBatch | None, processes: int) -> str | None:
    if stored is None or stored.processes == processes:
        return None
    size = cfg.train_dataloader.get('batch_size', 1)
    passes = cfg.optim_wrapper.get('accumulative_counts', 1)
    if processes * size * passes != stored.samples:
        return None
    now = described(processes, size, passes)
    return f'{stored.division} -> {now}: global batch {stored.samples} stays'


def check_divisible(cfg: Config, plan: MicroBatches) -> None:
    """Check that a config can be trained in micro-batches.

    Raises:
        ConfigError: It cannot, or the samples would be other ones than at the start.
    """
    number, size = plan.origin[:2]
    remedy = f'use {number} process{"es" * (number != 1)} with train_dataloader.batch_size={size}'
    kind = type_name(cfg.train_cfg)
    if kind and kind not in (*RESUMABLE, *RESUMABLE.values()):
        raise ConfigError(
            f'train_cfg.type={kind!r} does not train in micro-batches: {remedy}, or one of '
            f'{", ".join(RESUMABLE)}'
        )
    if (cfg.get('randomness') or {}).get('diff_rank_seed'):
        raise ConfigError(
            'randomness.diff_rank_seed=True (--diff-rank-seed) gives each process other samples, '
            f'which no other process can take over: {remedy}'
        )
    if 'optimizer' not in cfg.optim_wrapper:
        raise ConfigError(
            'optim_wrapper has several optimizers, which the model steps itself, so gradients of '
            f'micro-batches cannot be accumulated: {remedy}'
        )
    if plan.started_as is None:
        return
    loader = cfg.train_dataloader
    for key, known in (('batch_sampler', PLAIN_BATCHES), ('sampler', DEALING_SAMPLERS)):
        kind = type_name(loader.get(key))
        if kind not in known:
            raise ConfigError(
                f'train_dataloader.{key}.type={kind!r} chooses the samples of each process, so '
                f'batches of {size} cannot be divided into {plan.size}: use a number of processes '
                f'that divides {number}'
            )


@HOOKS.register_module()
class MicroBatchReportHook(Hook):
    """Say what micro-batches change besides the order of sums.

    Args:
        process_means: Names of functions that average over processes.
    """

    priority = 'VERY_LOW'

    def __init__(self, process_means: Sequence[str] = ()) -> None:
        self.process_means = tuple(process_means)

    def before_train(self, runner: Any) -> None:
        plan = getattr(runner.train_loop, 'plan', None)
        # mmengine replaces SyncBN in a single process.
        is_joint = 'SyncBN' in map(type_name, _parts(runner.cfg.get('model')))
        for line in self._lines(runner.model, plan, is_joint) if plan else ():
            runner.logger.warning(line)

    def _lines(self, model: nn.Module, plan: MicroBatches, is_joint: bool) -> Iterator[str]:
        processes, (number, size) = get_world_size(), plan.origin[:2]
        if plan.size != size:
            yield (
                f'Micro-batches have {plan.size} samples instead of {size}: dropout and drop path '
                'draw other numbers, and losses that are averaged over the objects of a '
                'micro-batch weigh them differently.'
            )
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        norms = [norm for norm in norms if norm.training]
        is_joint = is_joint and processes == 1
        joint = [norm for norm in norms if is_joint or 'Sync' in type(norm).__name__]
        if joint and processes * plan.size != number * size:
            yield (
                f'{len(joint)} SyncBN layers see {processes * plan.size} samples at a time instead '
                f'of {number * size}; group norm does not depend on the batch.'
            )
        if len(norms) > len(joint) and (plan.size, processes) != (size, number):
            yield (
                f'{len(norms) - len(joint)} batch norm layers see {plan.size} samples at a time, '
                f'{size} at the start, and the running statistics that are saved are those of '
                f'process 0 of {processes}, {number} at the start.'
            )
        names = sorted({type(m).__name__ for m in model.modules() if self._has_process_mean(m)})
        if names and processes != number:
            yield (
                f'{", ".join(names)}: the number of targets by which losses are divided is a mean '
                f'over {processes} processes, {number} at the start.'
            )

    def _has_process_mean(self, module: nn.Module) -> bool:
        used = (vars(sys.modules[kind.__module__]) for kind in type(module).__mro__)
        return any(name in names for names in used for name in self.process_means)


def _parts(value: Any) -> Iterator[Mapping]:
    """All dicts in a config."""
    if isinstance(value, Mapping):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value
    for part in inner if isinstance(value, (Mapping, list, tuple)) else ():
        yield from _parts(part)
