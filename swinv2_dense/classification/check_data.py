"""Check the classes and files of image datasets before a run starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.registry import DATASETS

from ..checks.class_heads import check_heads, class_heads
from ..checks.class_lists import check_same_classes
from ..checks.files import files_below
from ..config_parts import is_local
from ..errors import ConfigError, truncate
from ..own_data.class_folders import IMAGES, check_class_folders
from .datasets import ClassFolderDataset, ImageListDataset


def check_image_data(model: Mapping, datasets: Sequence[tuple[str, Mapping]]) -> None:
    """Compare the class folders and lists of datasets with each other and with the head.

    Args:
        model: Config of the classifier.
        datasets: Key and config of each dataset without wrappers.

    Raises:
        ConfigError: They differ, a class has no training images, or a list is invalid.
    """
    first = first_folders = None
    for key, dataset in datasets:
        built = _build(key, dataset)
        if built is None or not is_local(dataset.get('backend_args')):
            continue
        classes = built.metainfo.get('classes') or ()
        if isinstance(classes, str):
            raise ConfigError(
                f'{key}.metainfo.classes={classes!r}: there is no such file; give a tuple of '
                'names, or a text file with one name per line'
            )
        if classes:
            check_heads(model, key, classes)
            first = first or (key, classes)
            check_same_classes(first, (key, classes))
        if isinstance(built, ClassFolderDataset):
            labels = _folder_labels(key, built)
            first_folders = first_folders or (key, labels)
            _compare_folders(first_folders, (key, labels))
            _check_labels(model, key, [(built.folder, label) for label in labels.values()])
            _check_empty(key, built.folder, labels)
        else:
            present = _check_list(model, key, built)
            _note_absent(model, key, classes, present)


def _build(key: str, dataset: Mapping) -> Any:
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    ours = (ClassFolderDataset, ImageListDataset)
    if not isinstance(kind, type) or not issubclass(kind, ours):
        return None
    settings = {k: v for k, v in dataset.items() if k not in ('type', '_scope_')}
    try:
        return kind(**{**settings, 'pipeline': [], 'lazy_init': True})
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{key}: {error}') from error


def _folder_labels(key: str, dataset: ClassFolderDataset) -> dict[str, int]:
    try:
        labels = dataset.labels()
    except ConfigError as error:
        raise ConfigError(f'{key}: {error}') from error
    check_class_folders(dataset.folder, labels, IMAGES)
    if not labels:
        raise ConfigError(
            f'{key}: {dataset.folder} has no class folders; arrange images as '
            f'{os.path.join(dataset.folder, "CLASS", "IMAGE.jpg")}, or list them in a file'
        )
    return labels


def _compare_folders(first: tuple[str, dict], second: tuple[str, dict]) -> None:
    """A folder must have the same label in every split; one may lack some of them."""
    for name, label in second[1].items():
        other = first[1].get(name)
        if other is not None and other != label:
            raise ConfigError(
                f'class folder {name!r} has label {other} in {first[0]} and {label} in {second[0]}:'
                ' the splits have different class folders; give both the same ones'
            )


def _check_labels(model: Mapping, key: str, labels: Iterable[tuple[str, int]]) -> None:
    """Labels with the place where each is given; lists may have millions of them."""
    heads = [(name, head['num_classes']) for name, head in class_heads(model)]
    for where, label in labels:
        for name, count in heads:
            if 0 <= label < count:
                continue
            raise ConfigError(
                f'{where}: label {label}, but {name}.num_classes={count}, so labels are 0 to '
                f'{count - 1}. Fix the data ({key}), or the head with --cfg-options '
                f'{name}.num_classes=N'
            )


def _check_empty(key: str, folder: str, labels: Mapping[str, int]) -> None:
    """A class without training images cannot be learned; one without others is not measured."""
    empty = [name for name in labels if not _has_images(os.path.join(folder, name))]
    if empty and key.startswith('train'):
        raise ConfigError(
            f'{key}: {len(empty)} of {len(labels)} class folders in {folder} have no images: '
            f'{truncate(empty)}; add images ({", ".join(IMAGES.suffixes[:5])}, ...), or remove '
            'these classes'
        )
    if empty:
        print_log(
            f'{key} has no images of {len(empty)} of {len(labels)} classes ({truncate(empty)}), '
            'whose accuracy is not measured',
            level=logging.WARNING,
        )


def _has_images(folder: str) -> bool:
    names = files_below(folder) if os.path.isdir(folder) else ()
    return any(name.lower().endswith(IMAGES.suffixes) for name in names)


def _check_list(model: Mapping, key: str, dataset: ImageListDataset) -> set[int]:
    """The labels that occur in a list."""
    count, present = 0, set()

    def labels() -> Iterator[tuple[str, int]]:
        nonlocal count
        for where, sample in dataset.lines():
            count += 1
            if 'gt_label' in sample:
                present.add(sample['gt_label'])
                yield where, sample['gt_label']

    _check_labels(model, key, labels())
    if not count:
        raise ConfigError(f'{key}.ann_file={dataset.ann_file!r} lists no images')
    return present


def _note_absent(model: Mapping, key: str, classes: Sequence[str], present: set[int]) -> None:
    if not present:
        return
    for _, head in class_heads(model):
        names = classes or tuple(map(str, range(head['num_classes'])))
        absent = [name for label, name in enumerate(names) if label not in present]
        if absent:
            print_log(
                f'{key} has no images of {len(absent)} of {len(names)} classes '
                f'({truncate(absent)})',
                level=logging.WARNING,
            )
