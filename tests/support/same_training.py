"""Compare the checkpoints of trainings bit by bit, except for clocks and paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from commands import ROOT
from mmengine.logging import HistoryBuffer
from toy_training import BY_EPOCH, BY_STEP, FLEXIBLE, train, train_two, write_config

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.quickstart import shapes, surfaces

KINDS = dict(by_epoch=BY_EPOCH, by_step=BY_STEP)
SEED = ('--seed', 3)
CHANGING = ('time', 'data_time', 'eta', 'experiment_name', 'cfg', 'memory', 'mmengine_version')


def plain(value: Any, work: Path) -> Any:
    """A value without clocks and paths, which == can compare."""
    if isinstance(value, Mapping):
        kept = {k: v for k, v in value.items() if str(k).split('/')[-1] not in CHANGING}
        return {key: plain(item, work) for key, item in kept.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, work) for item in value]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        value = torch.as_tensor(value)
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, HistoryBuffer):
        return [plain(part, work) for part in value.data]
    is_path = isinstance(value, str) and value.startswith(str(work.parent))
    return Path(value).name if is_path else value


def differences(found: Any, wanted: Any, name: str = '') -> list[str]:
    """The paths at which two nested values differ."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            line
            for key in found.keys() | wanted.keys()
            for line in differences(found.get(key), wanted.get(key), f'{name}.{key}')
        ]
    return [] if found == wanted else [f'{name}: {str(found)[:90]} != {str(wanted)[:90]}']


def assert_same_checkpoints(work: Path, reference: Path, pattern: str) -> None:
    """Both folders have the same checkpoints that match the pattern."""
    files = {path.name for path in reference.glob(pattern)}
    assert files and {path.name for path in work.glob(pattern)} == files
    for file in files:
        found, wanted = (
            plain(read_checkpoint_file(path / file), path) for path in (work, reference)
        )
        lines = differences(found, wanted, file)
        assert not lines, '\n'.join(lines)


def workers(number: int) -> list[str]:
    loaders = ('train_dataloader', 'val_dataloader')
    return [
        *(f'{loader}.num_workers={number}' for loader in loaders),
        *(f'{loader}.persistent_workers={number > 0}' for loader in loaders),
    ]


class Training:
    """Runs of a config, in its own folder."""

    def __init__(self, folder: Path, kind: str, *options: str) -> None:
        self.config = write_config(folder, **(FLEXIBLE if kind == 'flexible' else KINDS[kind]))
        self.folder, self.kind, self.options = folder, kind, options

    def run(self, name: str, *flags: object, num_workers: int = 0, **variables: Any) -> int:
        """Train in work directory `name`."""
        argv = [self.config, '--work-dir', self.folder / name, *SEED, *flags]
        argv += ['--cfg-options', *workers(num_workers), *self.options]
        return train(argv, self.folder / f'{name}.log', **variables)

    def run_two(self, name: str, *flags: object, **variables: Any) -> list[int]:
        """The same in two processes."""
        argv = [self.config, '--work-dir', self.folder / name, *SEED, *flags]
        argv += ['--cfg-options', *self.options]
        return train_two(argv, self.folder / f'{name}.log', **variables)

    def terminal(self, name: str) -> str:
        return (self.folder / f'{name}.log').read_text()

    def log(self, name: str) -> str:
        """The output and the log files of the runs in a work directory."""
        files = sorted((self.folder / name).glob('*/*.log'))
        return self.terminal(name) + ''.join(file.read_text() for file in files)


class Quickstart(Training):
    """A few steps of a config of this package on a few images, with averaged weights."""

    def __init__(self, folder: Path, config: str, *options: str) -> None:
        (base,) = ROOT.glob(f'configs/quickstart/{config}*.py')
        self.folder, self.config = folder, folder / 'config.py'
        hooks = [dict(type='EMAHook', momentum=0.1), dict(type='FaultHook')]
        self.config.write_text(
            f"_base_ = {str(base)!r}\ncustom_imports = dict(imports=['toy_training'])\n"
            f'custom_hooks = {hooks}\n'
        )
        data = folder / 'data'
        self.options = (
            *(f'{part}_dataloader.dataset.data_root={data}/' for part in ('train', 'val', 'test')),
            *(f'{part}_dataloader.batch_size=2' for part in ('train', 'val')),
            'train_cfg.max_iters=4',
            'train_cfg.val_interval=2',
            'default_hooks.checkpoint.interval=2',
            'param_scheduler.0.end=1',
            'param_scheduler.1.begin=1',
            *options,
        )


class Segmentor(Quickstart):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 'upernet', 'default_hooks.checkpoint.save_best=mIoU')
        surfaces.write_dataset(folder / 'data', surfaces.SurfacesSpec(train=5, val=4))


class Detector(Quickstart):
    def __init__(self, folder: Path) -> None:
        annotations = folder / 'data' / 'annotations' / 'instances_val.json'
        evaluators = [f'{part}_evaluator.ann_file={annotations}' for part in ('val', 'test')]
        super().__init__(folder, 'htc++', *evaluators)
        shapes.write_dataset(folder / 'data', shapes.ShapesSpec(train=5, val=4))
