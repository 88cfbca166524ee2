"""Iterations that do not depend on the number of processes.

A run of 4 processes with 2 samples each passes 4 micro-batches of 2 through the model in every
iteration. On other numbers of processes, the same micro-batches are divided among them, and each
process accumulates the gradients of its own:

    4 processes:  [0] [1] [2] [3]        2 processes:  [0 2] [1 3]        1 process:  [0 1 2 3]

Samples, their augmentation and the random numbers of the model follow from the number of the
micro-batch, so that the gradients differ by summation order only. The unit of schedules and
intervals stays the iteration. If the micro-batches cannot be divided, they get smaller, or those of
several iterations that accumulate gradients anyway are trained in the last of them (`merged`).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce_dict, broadcast_object_list, get_rank, get_world_size
from mmengine.dist import utils as dist_utils
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler, DataLoader

from ..config_parts import type_name
from ..errors import ConfigError
from .data_order import (
    STEP,
    IndexedBatch,
    IndexedBatchSampler,
    ResumableLoader,
    SeededFetch,
    Share,
    seed_all,
)

KEY = 'micro_batches'  # in train_cfg
# Process r of N gets the samples r, r + N, ...: the same samples for equal products of the number
# of processes and their batch size.
DEALING_SAMPLERS = ('DefaultSampler', 'InfiniteSampler')


class MicroBatches(NamedTuple):
    """The micro-batches of an iteration over all processes.

    Attributes:
        number: Per iteration.
        size: Samples in each.
        merged: Iterations that are trained together, in the last of them.
        started_as: `number` and `size` with which the training started.
    """

    number: int
    size: int
    merged: int = 1
    started_as: tuple[int, int] | None = None

    @property
    def samples(self) -> int:
        """Per iteration, over all processes."""
        return self.number * self.size

    @property
    def origin(self) -> MicroBatches:
        """Those with which the training started."""
        return MicroBatches(*(self.started_as or (self.number, self.size)))

    def shares(self, rank: int, processes: int) -> list[tuple[int, int]]:
        """Those of a process: the iteration among the merged ones, and the number in it."""
        every = itertools.product(range(self.merged), range(self.number))
        return [*itertools.islice(every, rank, None, processes)]

    def divided(self, processes: int, accumulated: int = 1) -> MicroBatches | None:
        """These micro-batches as `processes` processes can share them; None if they cannot.

        Args:
            accumulated: Iterations of which each step of the optimizer consists.
        """
        number, size = self.origin[:2]
        for merged in (n for n in range(1, accumulated + 1) if accumulated % n == 0):
            for smaller in range(size, 0, -1):
                count, rest = divmod(number * size, smaller)
                if not rest and merged * count % processes == 0:
                    same = smaller == size
                    return MicroBatches(count, smaller, merged, None if same else (number, size))
        return None


def micro_batches_of(train_cfg: Mapping) -> MicroBatches | None:
    """The micro-batches that a config sets.

    Raises:
        ConfigError: They are not.
    """
    given = train_cfg.get(KEY)
    if given is None:
        return None
    numbers = [given.get(key, 1) for key in MicroBatches._fields[:3]]
    numbers += given.get('started_as') or ()
    known = {'number', 'size'} <= given.keys() <= {*MicroBatches._fields}
    if not known or not all(isinstance(n, int) and n > 0 for n in numbers):
        raise ConfigError(
            f'train_cfg.{KEY}={dict(given)} must be dict(number=N, size=B): as many micro-batches '
            'per iteration as the processes that it imitates, and the samples of each'
        )
    return MicroBatches(*numbers[:3], tuple(numbers[3:]) or None)


def share_micro_batches(runner: Any) -> None:
    """Let all ranks use the micro-batches of rank 0, as `share_resume` does with its checkpoint."""
    train_cfg = runner._train_loop  # the loop is not built yet
    chosen = [train_cfg.pop(KEY, None)]
    broadcast_object_list(chosen)
    if chosen[0] is not None:
        train_cfg[KEY] = chosen[0]


class MicroBatch(NamedTuple):
    """Data of a micro-batch, its iteration among the merged ones, and its number in that."""

    data: Any
    iteration: int
    number: int


class MicroBatchSampler(IndexedBatchSampler):
    """The micro-batches of this process.

    Args:
        batch_samplers: By the numbers of the micro-batches whose samples they yield.
        plan: The micro-batches of all processes.
        endless: Continue with the next epoch, as iteration-based loops do.
    """

    def __init__(
        self, batch_samplers: Mapping[int, Any], plan: MicroBatches, endless: bool
    ) -> None:
        super().__init__(None, endless)
        self.divide(batch_samplers, plan)

    def divide(self, batch_samplers: Mapping[int, Any], plan: MicroBatches) -> None:
        """Replace the batch samplers and the plan."""
        self.batch_sampler = next(iter(batch_samplers.values()))
        self.batch_samplers, self.plan, self.ranks = batch_samplers, plan, plan.number
        self.shares = plan.shares(get_rank(), get_world_size())

    def samplers(self) -> list[Any]:
        return [batch_sampler.sampler for batch_sampler in self.batch_samplers.values()]

    def batches_of_epoch(self, epoch: int) -> Iterator[IndexedBatch]:
        for number, parts in enumerate(zip(*self.batch_samplers.values())):
            place = (epoch, number)
            shares = map(Share, itertools.repeat(place), self.batch_samplers, parts)
            yield IndexedBatch(shares)

    def arranged(self, batches: Iterator[IndexedBatch]) -> Iterator[IndexedBatch]:
        """The batches of merged iterations: all but the last of them are empty."""
        for merged in iter(lambda: [*itertools.islice(batches, self.plan.merged)], []):
            for _ in merged[1:]:
                yield IndexedBatch([])
            found = [{share.rank: share for share in batch.shares} for batch in merged]
            yield IndexedBatch([found[i][number] for i, number in self.shares if i < len(found)])


class CollateEach:
    """Collates each micro-batch of a process on its own."""

    def __init__(self, collate: Callable, shares: Sequence[tuple[int, int]]) -> None:
        self.collate, self.shares = collate, shares

    def __call__(self, parts: Sequence[Any]) -> list[MicroBatch]:
        return [MicroBatch(self.collate(part), *share) for part, share in zip(parts, self.shares)]


class MicroBatchLoader(ResumableLoader):
    """A loader whose batches are lists of `MicroBatch`.

    Args:
        runner: Builds the dataset and the rest of a loader.
        cfg: `train_dataloader` of a config.
        plan: The micro-batches of all processes.
        endless: See `MicroBatchSampler`.

    Raises:
        ConfigError: The samplers cannot be built for micro-batches.
    """

    def __init__(self, runner: Any, cfg: Mapping, plan: MicroBatches, endless: bool) -> None:
        if isinstance(cfg, DataLoader) or 'num_batch_per_epoch' in cfg:
            what = 'is a loader' if isinstance(cfg, DataLoader) else 'has num_batch_per_epoch'
            raise ConfigError(
                f'train_dataloader {what}, whose samples depend on the number of processes; use '
                f'the {plan.origin.number} processes with which the training started'
            )
        loader = runner.build_dataloader(cfg, seed=runner.seed)
        built = _batch_samplers(loader.dataset, cfg, plan, runner.seed)
        super().__init__(loader, endless, MicroBatchSampler(built, plan, endless))
        self.cfg, self.collate = cfg, loader.collate_fn
        self.collate_fn = CollateEach(self.collate, self.batch_sampler.shares)
        for line in _padding(self.batch_sampler.sampler, plan):
            runner.logger.warning(line)

    def divide(self, plan: MicroBatches) -> None:
        """Load other micro-batches, before the first one is loaded."""
        sampler = self.batch_sampler
        built = _batch_samplers(self.dataset, self.cfg, plan, sampler.sampler.seed)
        sampler.divide(built, plan)
        self.collate_fn = CollateEach(self.collate, sampler.shares)
        fetch = getattr(self.dataset, '__getitems__', None)
        if isinstance(fetch, SeededFetch):
            fetch.ranks = plan.number


def _batch_samplers(dataset: Any, cfg: Mapping, plan: MicroBatches, seed: int) -> dict[int, Any]:
    """Batch samplers of this process by the number of their micro-batch."""
    samples, built = dict(dataset=dataset, seed=seed), {}
    for _, number in plan.shares(get_rank(), get_world_size()):
        if number in built:
            continue
        with as_process(number, plan.number) as asked:
            sampler = DATA_SAMPLERS.build(dict(cfg['sampler']), default_args=samples)
            if not asked and plan.number > 1:
                raise ConfigError(
                    f'train_dataloader.sampler.type={type_name(cfg["sampler"])!r} does not ask '
                    'mmengine.dist.get_dist_info for its process, so its order cannot be '
                    f'continued with another number of processes than {plan.number}'
                )
            batches = dict(sampler=sampler, batch_size=plan.size)
            if cfg.get('batch_sampler'):
                built[number] = DATA_SAMPLERS.build(
                    dict(cfg['batch_sampler']), default_args=batches
                )
            else:
                built[number] = BatchSampler(**batches, drop_last=cfg.get('drop_last', False))
    return built


def _padding(sampler: Any, plan: MicroBatches) -> Iterator[str]:
    """A line if epochs do not have the same number of samples as at the start."""
    if not getattr(sampler, 'round_up', False):
        return
    now, before = (-(-len(sampler.dataset) // n) * n for n in (plan.number, plan.origin.number))
    if now != before:
        yield (
            f'{type(sampler).__name__} pads the {len(sampler.dataset)} samples of an epoch to '
            f'{now}, for {plan.number} micro-batches, and to {before} at the start: the last '
            'iteration of an epoch differs.'
        )


@contextlib.contextmanager
def as_process(rank: int, processes: int) -> Iterator[list[bool]]:
    """Let mmengine's `get_dist_info` answer as in another process.

    Samplers have no argument for it. Yields a list that is not empty once it has been asked.
    """
    asked: list[bool] = []

    def world_size(group: Any = None) -> int:
        asked.append(True)
        return processes

    before = dist_utils.get_rank, dist_utils.get_world_size
    dist_utils.get_rank, dist_utils.get_world_size = lambda group=None: rank, world_size
    try:
        yield asked
    finally:
        dist_utils.get_rank, dist_utils.get_world_size = before


def check_merged(loop: Any) -> None:
    """Check that an epoch and the run consist of whole groups of merged iterations.

    Raises:
        ConfigError: They do not.
    """
    merged, origin = loop.plan.merged, loop.plan.origin
    for what, length in (('the run', loop.max_iters), ('an epoch', loop.epoch_length)):
        if length and length % merged:
            raise ConfigError(
                f'{what} has {length} iterations, and {get_world_size()} processes share the '
                f'samples of every {merged} accumulated iterations; {length} is not divisible by '
                f'{merged}: use {origin.number} processes'
            )


class MicroBatchSteps:
    """Makes `model.train_step` train on the micro-batches of an iteration.

    Attributes:
        idle: Whether the last iteration only waited for those that are merged with it.
    """

    def __init__(self, runner: Any, accumulated: int) -> None:
        self.runner, self.accumulated = runner, accumulated
        self.idle = False
        self.train_step = runner.model.train_step

    def count(self, plan: MicroBatches, iteration: int, max_iters: int) -> None:
        """Make the optimizer step once per iteration, or as often as the config accumulates."""
        runner = self.runner
        per_block = len(plan.shares(0, get_world_size()))
        wrapper = runner.optim_wrapper
        wrapper._accumulative_counts = self.accumulated * per_block // plan.merged
        counts = (per_block * (iters // plan.merged) for iters in (iteration, max_iters))
        wrapper.initialize_count_status(runner.model, *counts)

    def __call__(self, data: Sequence[MicroBatch], optim_wrapper: Any) -> dict[str, Any]:
        """The mean of what the steps log, over all micro-batches and processes."""
        self.idle = not data
        if self.idle:
            return {}
        runner, logged = self.runner, []
        first = runner.iter - runner.train_loop.plan.merged + 1
        for part in data:
            seed_all(runner.seed, STEP, first + part.iteration, part.number)
            logged.append(self.train_step(part.data, optim_wrapper=optim_wrapper))
        device = next(runner.model.parameters()).device
        mean = {key: _mean([part[key] for part in logged], device) for key in logged[0]}
        all_reduce_dict(mean, 'mean')
        return mean


def _mean(values: Sequence[Any], device: torch.device) -> torch.Tensor:
    numbers = [torch.as_tensor(value, device=device).detach().float().mean() for value in values]
    return torch.stack(numbers).mean()
