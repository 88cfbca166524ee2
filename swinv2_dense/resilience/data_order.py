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
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

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


class Share(NamedTuple):
    """Dataset indices of a process in a global batch.

    Attributes:
        place: Epoch of the batch, and its number in the epoch.
        rank: Of the process.
    """

    place: tuple[int, int]
    rank: int
    indices: list[int]


class IndexedBatch(list):
    """The dataset indices of a batch, and the shares of global batches that they are."""

    def __init__(self, shares: Iterable[Share]) -> None:
        self.shares = [*shares]
        super().__init__(itertools.chain.from_iterable(share.indices for share in self.shares))


class SeededFetch:
    """The method `__getitems__` of a dataset, which torch's loader calls to fetch a batch.

    It is set on the dataset itself: a wrapper would hide the dataset from hooks that change its
    pipeline.

    Args:
        dataset: The dataset.
        seed: Of the run.
        ranks: Number of shares in a global batch, if the loader takes several shares at a time;
            else a batch is the share of this process.
    """

    def __init__(self, dataset: Any, seed: int, ranks: int | None = None) -> None:
        self.dataset = dataset
        self.seed = seed
        # mmengine's samplers assign indices to ranks round-robin. With the slot in the global batch
        # instead of the one on this rank, samples do not depend on the number of ranks.
        self.takes_several = ranks is not None
        self.ranks = ranks or get_world_size()

    def __call__(self, batch: Sequence[int]) -> list:
        """Samples of a batch, or of each of its shares."""
        if not isinstance(batch, IndexedBatch):  # of another loader of the same dataset
            return [self.dataset[index] for index in batch]
        found = [[*self._samples(share)] for share in batch.shares]
        return found if self.takes_several else found[0]

    def _samples(self, share: Share) -> Iterator[Any]:
        for position, index in enumerate(share.indices):
            slot = position * self.ranks + share.rank
            seed_all(self.seed, SAMPLE, *share.place, slot)
            yield self.dataset[index]


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

    ranks: int | None = None  # see SeededFetch

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
        batches = self.arranged(itertools.chain.from_iterable(map(self._one_epoch, epochs)))
        self.recent.clear()
        for number, batch in itertools.islice(enumerate(batches), self.num_skipped, None):
            self.recent[number] = batch
            self.recent.pop(number - KEPT, None)
            yield batch

    def samplers(self) -> list[Any]:
        """The samplers of indices."""
        return [self.sampler]

    def batches_of_epoch(self, epoch: int) -> Iterator[IndexedBatch]:
        """The batches of one epoch for this process."""
        rank = get_rank()
        for number, indices in enumerate(self.batch_sampler):
            yield IndexedBatch([Share((epoch, number), rank, indices)])

    def arranged(self, batches: Iterator[IndexedBatch]) -> Iterator[IndexedBatch]:
        """The batches of all epochs in the order in which they are loaded."""
        return batches

    def _one_epoch(self, epoch: int) -> Iterator[IndexedBatch]:
        for sampler in self.samplers():
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
        batch = None
        for batch in self.batches_of_epoch(epoch):
            yield batch
        if batch is None:
            raise ValueError(
                'train_dataloader yields no batch: its dataset has fewer samples than one batch '
                'and drop_last=True'
            )


class ResumableLoader(DataLoader):
    """A loader that yields None for each skipped batch instead of loading it.

    `__iter__` is a generator, so workers start with the first batch that is requested: mmengine's
    iteration-based loop creates its iterator before it knows the iteration to resume from.
    """

    def __init__(
        self, loader: DataLoader, endless: bool, sampler: IndexedBatchSampler | None = None
    ) -> None:
        settings = {
            name: getattr(loader, name) for name in LOADER_SETTINGS if hasattr(loader, name)
        }
        sampler = sampler or IndexedBatchSampler(loader.batch_sampler, endless)
        super().__init__(batch_sampler=sampler, **settings)

    def start(self, seed: int, epoch: int, num_skipped: int) -> None:
        """Set where the next pass over the data begins."""
        sampler = self.batch_sampler
        sampler.epoch, sampler.num_skipped = epoch, num_skipped
        self.dataset.__getitems__ = SeededFetch(self.dataset, seed, sampler.ranks)

    def __iter__(self) -> Iterator[Any]:
        yield from itertools.repeat(None, self.batch_sampler.num_skipped)
        yield from super().__iter__()
