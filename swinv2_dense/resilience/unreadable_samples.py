"""Unreadable samples: replaced and counted in training, an error in tests.

The loading of a sample (`prepare_data` of mmengine's datasets: annotation and pipeline) is guarded.
If it fails in training, the dataset draws another sample, as for a pipeline that returns None: from
numpy's generator, so a seeded training stays reproducible. Each process appends its faults to its
own file in the log folder of the run, and the hook reads all of them. Transforms of wrappers such
as MultiImageMixDataset, which combine several samples, are not guarded.
"""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import all_gather_object, get_dist_info, is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.utils.data import DataLoader, Dataset

from ..atomic_files import write_bytes
from ..checks.coco_masks import check_masks
from ..checks.files import FILE_KEYS
from ..checks.pixel_limit import check_sample
from ..config_parts import leaf_datasets
from ..errors import ConfigError
from ..shared_errors import shared_errors

# Not caused by a sample: out of memory, or an incomplete installation.
NOT_SAMPLE_ERRORS = (MemoryError, torch.cuda.OutOfMemoryError, ImportError)
NUM_NAMED = 10  # samples in messages; data_faults.jsonl lists all


class DataFaultsError(RuntimeError):
    """Too many samples of a training set cannot be read, or every sample fails."""


class UnreadableSampleError(ConfigError):
    """A sample of a validation or test set cannot be read.

    Attributes:
        fault: Names the sample and the reason. Not set if the error comes from another process.
    """

    fault = ''

    def __str__(self) -> str:
        """The message without the worker's traceback.

        torch's loader re-raises an error of a worker as its type, called with one string: the
        traceback, which ends with the message. Attributes are lost on the way.
        """
        return super().__str__().rpartition(f'{type(self).__name__}: ')[2].strip()


class GuardedDataset:
    """Replaces the method `prepare_data` of a dataset; returns None for an unreadable sample.

    Args:
        dataset: The dataset, without wrappers.
        loader: Key of its loader, for messages.
        folder: For the records of all processes. Without it, an unreadable sample raises
            UnreadableSampleError instead of being replaced.
        max_in_a_row: Number of consecutive faults on one worker that raises DataFaultsError: a bug
            in a transform fails for every sample.
    """

    def __init__(
        self, dataset: Any, loader: str, folder: Path | None = None, max_in_a_row: int = 10
    ) -> None:
        self.dataset = dataset
        self.loader = loader
        self.folder = None if dataset.test_mode else folder
        self.max_in_a_row = max_in_a_row
        self.in_a_row = 0
        self.first: Exception | None = None

    def __call__(self, index: Any) -> Any:
        try:
            check_masks(self.dataset, index)
            check_sample(self.dataset, index)
            sample = type(self.dataset).prepare_data(self.dataset, index)
        except NOT_SAMPLE_ERRORS:
            raise
        except Exception as error:
            self._on_error(index, error)
            return None
        if sample is not None:
            self.in_a_row, self.first = 0, None
        return sample

    def _on_error(self, index: Any, error: Exception) -> None:
        name, reason = sample_name(self.dataset, index), _reason(error)
        if self.folder is None:
            fault = f'{self.loader}: {name} cannot be read: {reason}'
            unreadable = UnreadableSampleError(
                f'{fault}. Fix it or remove it from the dataset; tools/test.py --skip-unreadable '
                'skips such samples'
            )
            unreadable.fault = fault
            raise unreadable from error
        self._record(name, reason, error)
        self.first = self.first or error
        self.in_a_row += 1
        if self.in_a_row >= self.max_in_a_row:
            raise DataFaultsError(
                f'{self.loader}: {self.in_a_row} samples in a row cannot be read, last {name}: '
                f'{reason}. This looks like a bug in a transform, or a problem of the whole '
                'dataset; the first error is shown above'
            ) from self.first

    def _record(self, name: str, reason: str, error: Exception) -> None:
        text = ''.join(traceback.format_exception(error))
        line = json.dumps(dict(sample=name, reason=reason, traceback=text))
        # One file per process: appends from several machines would mix their lines.
        path = self.folder / f'{socket.gethostname()}_{os.getpid()}.jsonl'
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open('a') as file:
            file.write(f'{line}\n')


class Records:
    """The faults that all processes recorded in a folder.

    Attributes:
        faults: The first record of each sample, by the sample's name.
        counts: Number of faults per sample.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, dict] = {}
        self.counts: Counter = Counter()
        self._read: Counter = Counter()  # bytes, by file

    def update(self) -> list[dict]:
        """Read what was appended since, and return the faults of new samples."""
        new = []
        for path in sorted(self.folder.glob('*.jsonl')):
            with path.open('rb') as file:
                file.seek(self._read[path])
                data = file.read()
            lines = data[: data.rfind(b'\n') + 1]  # the last line may not be complete yet
            self._read[path] += len(lines)
            for record in map(json.loads, lines.splitlines()):
                self.counts[record['sample']] += 1
                if record['sample'] not in self.faults:
                    self.faults[record['sample']] = record
                    new.append(record)
        return new

    def write(self, path: Path) -> None:
        """Write one line of JSON for each sample."""
        lines = [
            json.dumps(dict(sample=name, reason=fault['reason'], times=self.counts[name]))
            for name, fault in self.faults.items()
        ]
        write_bytes(path, ''.join(f'{line}\n' for line in lines).encode())


@HOOKS.register_module()
class DataFaultsHook(Hook):
    """Replace, count and report unreadable samples in training; stop at the first one in tests.

    Validation during training also stops at the first one. Iteration-based training needs the loop
    of this package: mmengine's starts its workers before hooks can guard the dataset.

    Args:
        max_fraction: Fraction of the training samples that may be unreadable.
        tolerated: Number of samples that may be unreadable, however small the dataset is.
        max_in_a_row: See `GuardedDataset`.
        interval: Number of iterations between reads of the records.
        skip_in_test: In tests, find unreadable samples first, remove them, and evaluate the rest.
            Every sample is loaded twice.

    Raises:
        DataFaultsError: More samples of the training set are unreadable.
        UnreadableSampleError: A sample of a validation or test set is unreadable.
    """

    def __init__(
        self,
        max_fraction: float = 0.01,
        tolerated: int = 5,
        max_in_a_row: int = 10,
        interval: int = 50,
        skip_in_test: bool = False,
    ) -> None:
        if not 0 <= max_fraction <= 1:
            raise ValueError(f'max_fraction={max_fraction} of DataFaultsHook must be in 0..1')
        self.max_fraction = max_fraction
        self.tolerated = tolerated
        self.max_in_a_row = max_in_a_row
        self.interval = interval
        self.skip_in_test = skip_in_test
        self.skipped: list[str] = []

    def before_train(self, runner: Any) -> None:
        folder = Path(runner.log_dir).resolve() / 'data_faults'
        self.records = Records(folder)
        dataset = runner.train_loop.dataloader.dataset
        self.size = sum(len(part) for part in _distinct(dataset))
        guard_dataset(dataset, 'train_dataloader', folder, self.max_in_a_row)
        if runner.val_loop is not None:
            guard_dataset(runner.val_loop.dataloader.dataset, 'val_dataloader')

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        if self.every_n_train_iters(runner, self.interval):
            self._report(runner)

    def after_train_epoch(self, runner: Any) -> None:
        self._report(runner)

    def after_train(self, runner: Any) -> None:
        self._report(runner)
        if is_main_process() and self.records.faults:
            runner.logger.warning(self._summary(runner))

    def before_test(self, runner: Any) -> None:
        loader = runner.test_loop.dataloader
        guard_dataset(loader.dataset, 'test_dataloader')
        if self.skip_in_test:
            self.skipped = remove_unreadable(loader)
            _evaluate_the_rest(runner.test_loop.evaluator, loader.dataset)

    @master_only
    def after_test(self, runner: Any) -> None:
        if self.skipped:
            lines = '\n'.join(f'  {reason}' for reason in self.skipped)
            runner.logger.warning(
                f'{len(self.skipped)} samples could not be read; the results are those of the '
                f'other {len(runner.test_loop.dataloader.dataset)}:\n{lines}'
            )

    def _report(self, runner: Any) -> None:
        with shared_errors():
            if is_main_process():
                self._read_records(runner)

    def _read_records(self, runner: Any) -> None:
        for fault in self.records.update():
            runner.logger.warning(
                f'{fault["sample"]} cannot be read and is replaced by another sample: '
                f'{fault["reason"]}'
            )
        count, limit = len(self.records.faults), max(self.tolerated, self.max_fraction * self.size)
        if count > limit:
            first = next(iter(self.records.faults.values()))
            raise DataFaultsError(
                f'{self._summary(runner)}\nThese are more than max_fraction={self.max_fraction} '
                f'of the dataset and tolerated={self.tolerated} of DataFaultsHook allow. The '
                f'first error:\n{first["traceback"]}'
            )

    def _summary(self, runner: Any) -> str:
        path = Path(runner.log_dir) / 'data_faults.jsonl'
        self.records.write(path)
        faults = self.records.faults
        named = [f'  {name}: {fault["reason"]}' for name, fault in faults.items()][:NUM_NAMED]
        return '\n'.join(
            [
                f'{len(faults)} of {self.size} samples of the training set could not be read, '
                f'and were replaced {self.records.counts.total()} times:',
                *named,
                *(['  ...'] if len(faults) > NUM_NAMED else []),
                f'All are listed in {path}',
            ]
        )


def skip_unreadable(cfg: Config) -> None:
    """Let a test skip the samples that cannot be read, see `DataFaultsHook`."""
    # In `added_hooks`, so that it also counts if the config disables the hook there.
    hooks = cfg.setdefault('added_hooks', ConfigDict())
    given = hooks.get('DataFaultsHook')
    arguments = given if isinstance(given, Mapping) else {}
    hooks['DataFaultsHook'] = ConfigDict(arguments, skip_in_test=True)


def guard_dataset(dataset: Any, loader: str, *settings: Any) -> None:
    """Guard the datasets inside wrappers; `settings` are those of `GuardedDataset`."""
    for part in _distinct(dataset):
        part.prepare_data = GuardedDataset(part, loader, *settings)


def sample_name(dataset: Any, index: Any) -> str:
    """Name a sample by its files, as in `a.jpg with a.png`."""
    try:
        info = dataset.get_data_info(index)
    except Exception:  # the annotation itself is broken
        return f'sample {index}'
    files = [str(info[key]) for key in FILE_KEYS if info.get(key)]
    return ' with '.join(files) or f'sample {index}'


def remove_unreadable(loader: DataLoader) -> list[str]:
    """Remove unreadable samples from the dataset of `loader` and return a message for each.

    The processes of a run share the work.
    """
    messages = []
    for part in _distinct(loader.dataset):
        rank, world_size = get_dist_info()
        mine = range(rank, len(part), world_size)
        found = DataLoader(
            ReadabilityProbe(part, mine), batch_size=None, num_workers=loader.num_workers
        )
        own, faults = {}, {}
        with shared_errors():  # a rank that stopped here would leave the others in the gather
            own.update((i, message) for i, message in zip(mine, found) if message)
        for some in all_gather_object(own):
            faults.update(some)
        if len(faults) == len(part):
            raise UnreadableSampleError(f'every sample is unreadable; {faults[0]}')
        part.get_subset_([i for i in range(len(part)) if i not in faults])
        messages += [faults[i] for i in sorted(faults)]
    if messages:
        _refresh_lengths(loader.dataset)
    return messages


class ReadabilityProbe(Dataset):
    """For each of `indices`, the fault of that sample of a guarded dataset, or ''."""

    def __init__(self, dataset: Any, indices: range) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> str:
        try:
            self.dataset[self.indices[position]]
        except UnreadableSampleError as error:
            return error.fault
        return ''


def _evaluate_the_rest(evaluator: Any, dataset: Any) -> None:
    """Restrict COCO metrics to the rest: to them, no result means no detection."""
    for metric in evaluator.metrics:
        if hasattr(metric, 'img_ids'):
            parts = _distinct(dataset)
            metric.img_ids = [
                part.get_data_info(i)['img_id'] for part in parts for i in range(len(part))
            ]


def _refresh_lengths(dataset: Any) -> None:
    """Update wrappers, which cache the lengths of the datasets inside."""
    for inner in getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]:
        if inner is not None:
            _refresh_lengths(inner)
            dataset._fully_initialized = False
    dataset.full_init()


def _distinct(dataset: Any) -> list[Any]:
    """The distinct datasets inside wrappers that load samples as mmengine's do."""
    found = {id(part): part for part in leaf_datasets(dataset) if hasattr(part, 'prepare_data')}
    return list(found.values())


def _reason(error: Exception) -> str:
    """Type, message and location of an error, in one line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = ' '.join(str(error).split())[:300]
    return f'{type(error).__name__}: {text} ({Path(place.filename).name}, line {place.lineno})'
