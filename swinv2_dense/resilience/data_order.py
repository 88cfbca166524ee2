"""Batches that depend on the seed and on where a training stands, and on nothing else.

mmengine's workers draw on from wherever they stand, so what a sample looks like depends on the
number of workers and on every sample before it. Here each sample has a seed of its own: of its
epoch, its batch in it and its place in the global batch.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from torch.utils.data import DataLoader, Sampler

KEPT = 1000  # batches
STEP, SAMPLE, EPOCH, VALIDATION = range(4)  # what a seed is for; no two share their numbers
LOADER_SETTINGS = (
    'dataset',
    'num_workers',
    'collate_fn',
    'pin_memory',
    'timeout',
    'worker_init_fn',
    'multiprocessing_context',
    'generator',
    'prefetch_factor',
    'persistent_workers',
    'pin_memory_device',
    'in_order',  # of torch 2.6
)


def seed_all(*key: int) -> None:
    """Seed Python, numpy and torch, CUDA too, with numbers that say what is drawn for."""
    words = np.random.SeedSequence(key).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]))


class Batch(list):
    """Indices of the samples of a batch, and its epoch and number in `place`."""

    place: tuple[int, int]


class SeededFetch:
    """The method `__getitems__` of a data set, by which torch's loader asks for a batch.

    It is set on the data set itself: a wrapper would hide it from hooks that change its pipeline.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        # mmengine's samplers deal indices to ranks in turn: with this, a sample is the same on
        # however many ranks the global batch is spread.
        self.rank, self.world_size = get_rank(), get_world_size()

    def __call__(self, batch: Sequence[int]) -> list:
        if not isinstance(batch, Batch):  # another loader of the same data set
            return [self.dataset[index] for index in batch]
        samples = []
        for position, index in enumerate(batch):
            slot = position * self.world_size + self.rank
            seed_all(self.seed, SAMPLE, *batch.place, slot)
            samples.append(self.dataset[index])
        return samples


class IndexedBatchSampler(Sampler):
    """The batches of a batch sampler with their places, without the first `left_out`.

    Args:
        batch_sampler: Of the indices of one epoch, or endless.
        endless: Go on with the next epoch, as iteration-based loops do.

    Attributes:
        recent: The last batches by their number in the pass: more than loaders fetch ahead.
    """

    def __init__(self, batch_sampler: Any, endless: bool) -> None:
        self.batch_sampler = batch_sampler
        self.endless = endless
        self.epoch = self.left_out = 0
        self.recent: dict[int, Batch] = {}

    @property
    def sampler(self) -> Any:
        """The sampler of indices; mmengine tells it the epoch."""
        return self.batch_sampler.sampler

    @property
    def batch_size(self) -> int:
        return self.batch_sampler.batch_size

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        epochs = itertools.count() if self.endless else [self.epoch]
        batches = itertools.chain.from_iterable(map(self._one_epoch, epochs))
        self.recent.clear()
        for number, batch in itertools.islice(enumerate(batches), self.left_out, None):
            self.recent[number] = batch
            self.recent.pop(number - KEPT, None)
            yield batch

    def _one_epoch(self, epoch: int) -> Iterator[Batch]:
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)
        number = -1
        for number, indices in enumerate(self.batch_sampler):
            batch = Batch(indices)
            batch.place = (epoch, number)
            yield batch
        if number < 0:
            raise ValueError(
                'train_dataloader yields no batch: its data set has fewer samples than one batch '
                'and drop_last=True'
            )


class ResumableLoader(DataLoader):
    """A loader that gives None for each batch left out, without loading it.

    It starts at the first batch that is asked for: mmengine's iteration-based loop asks for an
    iterator before it knows where the training stands.
    """

    def __init__(self, loader: DataLoader, endless: bool) -> None:
        settings = {
            name: getattr(loader, name) for name in LOADER_SETTINGS if hasattr(loader, name)
        }
        super().__init__(
            batch_sampler=IndexedBatchSampler(loader.batch_sampler, endless), **settings
        )

    def start(self, seed: int, epoch: int, left_out: int) -> None:
        """Say where the next pass over the data begins."""
        self.batch_sampler.epoch, self.batch_sampler.left_out = epoch, left_out
        self.dataset.__getitems__ = SeededFetch(self.dataset, seed)

    def __iter__(self) -> Iterator[Any]:
        yield from itertools.repeat(None, self.batch_sampler.left_out)
        yield from super().__iter__()
