"""Hooks of the command lines that mmengine lacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from .preflight import ConfigError, is_local

FILE_KEYS = ('img_path', 'seg_map_path', 'filename')  # of mmdet and mmseg; of mmaction2


@HOOKS.register_module()
class CheckFilesHook(Hook):
    """Look for every image, map and video of the data sets before the first iteration.

    Raises:
        ConfigError: Files are missing; says how many, and names the first.
    """

    def before_train(self, runner: Any) -> None:
        check_files('train_dataloader', runner.train_loop.dataloader.dataset)
        if runner.val_loop is not None:
            check_files('val_dataloader', runner.val_loop.dataloader.dataset)

    def before_test(self, runner: Any) -> None:
        check_files('test_dataloader', runner.test_loop.dataloader.dataset)


@HOOKS.register_module()
class ResultsHook(Hook):
    """Print the last metrics as a table when a run ends, and where its files are."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        self.metrics = dict(metrics or {})

    def after_test_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        self.metrics = dict(metrics or {})

    @master_only
    def after_run(self, runner: Any) -> None:
        if self.metrics:
            runner.logger.info(f'Results\n{metrics_table(self.metrics)}')
        runner.logger.info(f'Checkpoints, logs and results are in {runner.work_dir}')


def metrics_table(metrics: dict[str, float]) -> str:
    """Two aligned columns, name and value."""
    width = max(map(len, metrics))
    shown = {k: f'{v:.4f}' if isinstance(v, float) else v for k, v in metrics.items()}
    rows = [f'  {name:<{width}}  {value}' for name, value in shown.items()]
    rule = '  ' + '-' * (width + 10)
    return '\n'.join([rule, *rows, rule])


def check_files(name: str, dataset: Any) -> None:
    """Raise a `ConfigError` if local files that `dataset` lists do not exist."""
    missing = [path for path in _files(dataset) if not os.path.exists(path)]
    if missing:
        raise ConfigError(
            f'{name}: {len(missing)} files that the annotations list do not exist, first '
            f'{missing[0]}. Check data_root, data_prefix and ann_file of the data set, and that '
            'it is complete.'
        )


def _files(dataset: Any) -> Iterator[str]:
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for part in inner:
        if part is not None:
            yield from _files(part)
    if inner != [None] or not hasattr(dataset, 'get_data_info'):
        return
    if not is_local(getattr(dataset, 'backend_args', None)):
        return
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        for key in FILE_KEYS:
            path = info.get(key)
            if isinstance(path, str) and '://' not in path:
                yield path
