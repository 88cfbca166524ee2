"""Configs of mmseg: checks, and what test.py's --tta and --out make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checks.class_heads import class_heads
from ..config_parts import is_local, type_name
from ..errors import ConfigError
from ..training.checkpoint_classes import first_difference


def check_segmentation(
    model: Mapping,
    datasets: Iterable[tuple[str, Mapping]],
    others: Iterable[tuple[str, Mapping]] = (),
) -> None:
    """Hold the heads of a segmentor against the classes of mmseg data sets, and find empty ones.

    Args:
        model: Config of the segmentor, alone or within that of test-time augmentation.
        datasets: Key and config of each data set without wrappers.
        others: The same of the datasets of the config that are not used now.

    Raises:
        ConfigError: A head has another number of classes, a dataset has no image or leaves some
            out, or test windows leave gaps.
    """
    from mmseg.datasets import BaseSegDataset
    from mmseg.registry import DATASETS

    from .left_out import Split, check_left_out
    from .tiled_inference import windows

    model = model.get('module', model)
    try:
        windows(model.get('test_cfg') or {}, (1, 1))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    first, splits = None, []
    for key, config in datasets:
        kind = config.get('type')
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        if not isinstance(kind, type) or not issubclass(kind, BaseSegDataset):
            continue
        settings = {k: v for k, v in config.items() if k not in ('type', '_scope_')}
        try:
            dataset = kind(**{**settings, 'pipeline': [], 'lazy_init': True})
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f'{key}: {error}') from error
        classes = dataset.metainfo.get('classes')
        if classes and 'LoadAnnotations' in _names(config.get('pipeline', [])):
            _check_heads(model, key, len(classes))
            first = first or (key, classes)
            _check_equal(first, (key, classes))
        if is_local(dataset.backend_args):
            splits.append(Split(key, dataset, dataset.load_data_list()))
            if not splits[-1].samples:
                raise ConfigError(_empty(key, dataset))
    check_left_out(splits, others)


def _check_heads(model: Mapping, key: str, num_classes: int) -> None:
    wrong = {
        f'{name}.num_classes': head['num_classes']
        for name, head in class_heads(model)
        if head['num_classes'] != num_classes
    }
    if wrong:
        name, number = next(iter(wrong.items()))
        options = ' '.join(f'{name}={num_classes}' for name in wrong)
        raise ConfigError(
            f'{name}={number}, but {key} has {num_classes} classes; set the heads with '
            f'--cfg-options {options}, or metainfo=dict(classes=...) of the data set'
        )


def _check_equal(first: tuple[str, Sequence[str]], second: tuple[str, Sequence[str]]) -> None:
    difference = first_difference(first[1], second[1], (first[0], second[0]))
    if difference:
        raise ConfigError(
            f'{difference}: labels are positions in metainfo.classes, so make the lists identical'
        )


def _empty(key: str, dataset: Any) -> str:
    folder = dataset.data_prefix.get('img_path')
    if dataset.ann_file or not folder:
        return f'{key}.ann_file={dataset.ann_file!r} lists no image'
    suffixes = sorted({path.suffix for path in Path(folder).rglob('*') if path.is_file()})
    wanted = f'ends in img_suffix={dataset.img_suffix!r}'
    if type_name(dict(type=type(dataset))) == 'FolderSegDataset':
        wanted = 'is an image'
    return (
        f'{key}: no file in {folder} {wanted}; there are {", ".join(suffixes[:5]) or "none at all"}'
    )


def _names(steps: Iterable) -> list[str]:
    """The transforms of a pipeline, also those within others."""
    names = []
    for step in steps:
        is_list = isinstance(step, (list, tuple))
        names += [] if is_list else [type_name(step)]
        names += _names(step if is_list else step.get('transforms') or [])
    return names
