"""Classes of detection data sets: read from annotation files, and checked before training starts.

Three numbers must agree: the classes that a data set is told of (`metainfo`), those in its
annotation file, and `num_classes` of the heads. mmdet drops objects of classes that it is not told
of without a word, and finds a head too small in the first loss, as an index error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..checks.class_heads import class_heads
from ..config_parts import is_local
from ..errors import ConfigError, truncate
from ..own_data.coco_categories import read_classes


def check_classes(model: Mapping, datasets: Sequence[tuple[str, Mapping]]) -> None:
    """Hold the classes of mmdet data sets against heads, annotation files and each other.

    Args:
        model: Config of the detector. One with a language model has no classes of its own.
        datasets: Key and config of each data set without wrappers.

    Raises:
        ConfigError: They differ.
    """
    from .datasets import dataset_class, metainfo_of

    first = None
    for key, dataset in datasets:
        kind = dataset_class(dataset)
        metainfo = metainfo_of(key, dataset, kind) if kind else {}
        classes = tuple(metainfo.get('classes') or ())
        if not classes:
            continue
        _check_ann_file(key, dataset, classes, kind)
        if 'language_model' not in model:
            _check_heads(model, key, tuple(metainfo.get('thing_classes', classes)))
            first = first or (key, classes)
            _check_equal(first, (key, classes))


def _check_ann_file(key: str, dataset: Mapping, classes: tuple[str, ...], kind: type) -> None:
    from mmdet.datasets import CocoDataset

    path = os.path.join(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    is_read = is_local(dataset.get('backend_args')) and os.path.isfile(path)
    if not is_read or not issubclass(kind, CocoDataset):
        return
    names = read_classes(path)
    absent = [name for name in classes if name not in names]
    if absent:
        raise ConfigError(
            f'{key}.metainfo.classes: {len(absent)} of {len(classes)} are not among the categories '
            f'of {path}, first {truncate(absent, 3)}; it has {truncate(names)}. Objects of other '
            'names are left out, so make the names equal'
        )
    listed = tuple(name for name in names if name in classes)
    is_sorted = kind.load_data_list is not CocoDataset.load_data_list  # as Objects365V1Dataset
    if listed != classes and not is_sorted:
        raise ConfigError(
            f'{key}.metainfo.classes={truncate(classes)}, but {path} lists {truncate(listed)}. '
            'mmdet numbers classes in the order of the file: write them, and the categories of '
            'every annotation file, in one order'
        )


def _check_heads(model: Mapping, key: str, classes: tuple[str, ...]) -> None:
    wrong = {
        f'{name}.num_classes': head['num_classes']
        for name, head in class_heads(model)
        if head['num_classes'] != len(classes)
    }
    if wrong:
        name, number = next(iter(wrong.items()))
        options = ' '.join(f'{name}={len(classes)}' for name in wrong)
        raise ConfigError(
            f'{name}={number}, but {key} has {len(classes)} classes: {truncate(classes)}. Set its '
            f'metainfo=dict(classes=...), or the heads with --cfg-options {options}'
        )


def _check_equal(first: tuple[str, tuple], second: tuple[str, tuple]) -> None:
    if first[1] != second[1]:
        raise ConfigError(
            f'{first[0]}.metainfo.classes={truncate(first[1])}, but {second[0]}.metainfo.classes='
            f'{truncate(second[1])}: a class is known by its place, so make them equal'
        )
