"""Batches that depend only on the seed and on the progress of the training.

In mmengine, each worker continues its own random stream, so the augmentation of a sample depends on
the number of workers and on every sample before it. Here each sample has its own seed, derived from
its epoch, its batch in the epoch and its slot in the global batch:

    epoch 1:   batch 0   batch 1   batch 2   batch 3      seed of a sample: (seed, SAMPLE,
    killed after ^         |                                epoch 1, batch 2, slot)
    resumed:   None      None      batch 2   batch 3      the skipped ones are not loaded
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

KEPT = 1000  # batches; must exceed what loaders prefetch
STEP, SAMPLE, EPOCH, VALIDATION = range(4)  # separate the random streams of a seed
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
    """Seed Python, numpy and torch (also CUDA) from a tuple of integers."""
    words = np.random.SeedSequence(key).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]))


class IndexedBatch(list):
    """Dataset indices of a batch, with its (epoch, number in the epoch) in `place`."""

    place: tuple[int, int]


class SeededFetch:
    """The method `__getitems__` of a dataset, which torch's loader calls to fetch a batch.

    It is set on the dataset itself: a wrapper would hide the dataset from hooks that change its
    pipeline.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        # mmengine's samplers assign indices to ranks round-robin. With the slot in the global batch
        # instead of the one on this rank, samples do not depend on the number of ranks.
        self.rank, self.world_size = get_rank(), get_world_size()

    def __call__(self, batch: Sequence[int]) -> list:
        if not isinstance(batch, IndexedBatch):  # of another loader of the same dataset
            return [self.dataset[index] for index in batch]
        samples = []
        for position, index in enumerate(batch):
            slot = position * self.world_size + self.rank
            seed_all(self.seed, SAMPLE, *batch.place, slot)
            samples.append(self.dataset[index])
        return samples


class IndexedBatchSampler(Sampler):
    """The batches of a batch sampler with their places, without the first `num_skipped`.

    Args:
        batch_sampler: Yields the batches of one epoch, or never ends.
        endless: Continue with the next epoch, as iteration-based loops do.

    Attributes:
        recent: The last `KEPT` batches by their number, to name the samples of a step.
    """

    def __init__(self, batch_sampler: Any, endless: bool) -> None:
        self.batch_sampler = batch_sampler
        self.endless = endless
        self.epoch = self.num_skipped = 0
        self.recent: dict[int, IndexedBatch] = {}

    @property
    def sampler(self) -> Any:
        """The sampler of indices, on which mmengine calls `set_epoch`."""
        return self.batch_sampler.sampler

    @property
    def batch_size(self) -> int:
        return self.batch_sampler.batch_size

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[IndexedBatch]:
        epochs = itertools.count() if self.endless else [self.epoch]
        batches = itertools.chain.from_iterable(map(self._one_epoch, epochs))
        self.recent.clear()
        for number, batch in itertools.islice(enumerate(batches), self.num_skipped, None):
            self.recent[number] = batch
            self.recent.pop(number - KEPT, None)
            yield batch

    def _one_epoch(self, epoch: int) -> Iterator[IndexedBatch]:
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)
        number = -1
        for number, indices in enumerate(self.batch_sampler):
            batch = IndexedBatch(indices)
            batch.place = (epoch, number)
            yield batch
        if number < 0:
            raise ValueError(
                'train_dataloader yields no batch: its dataset has fewer samples than one batch '
                'and drop_last=True'
            )


class ResumableLoader(DataLoader):
    """A loader that yields None for each skipped batch instead of loading it.

    `__iter__` is a generator, so workers start with the first batch that is requested: mmengine's
    iteration-based loop creates its iterator before it knows the iteration to resume from.
    """

    def __init__(self, loader: DataLoader, endless: bool) -> None:
        settings = {
            name: getattr(loader, name) for name in LOADER_SETTINGS if hasattr(loader, name)
        }
        super().__init__(
            batch_sampler=IndexedBatchSampler(loader.batch_sampler, endless), **settings
        )

    def start(self, seed: int, epoch: int, num_skipped: int) -> None:
        """Set where the next pass over the data begins."""
        self.batch_sampler.epoch, self.batch_sampler.num_skipped = epoch, num_skipped
        self.dataset.__getitems__ = SeededFetch(self.dataset, seed)

    def __iter__(self) -> Iterator[Any]:
        yield from itertools.repeat(None, self.batch_sampler.num_skipped)
        yield from super().__iter__()
