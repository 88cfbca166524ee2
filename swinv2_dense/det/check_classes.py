"""Check the classes of detection datasets before training starts.

Three things must agree: the classes of a dataset (`metainfo`), the categories of its annotation
file, and `num_classes` of the heads. mmdet silently drops objects of other categories, and a head
that is too small only fails in the first loss, with an index error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..checks.class_heads import check_heads
from ..checks.class_lists import check_same_classes
from ..config_parts import is_local
from ..errors import ConfigError, truncate
from ..own_data.coco_categories import read_classes


def check_classes(model: Mapping, datasets: Sequence[tuple[str, Mapping]]) -> None:
    """Compare the classes of mmdet datasets with heads, annotation files and each other.

    Args:
        model: Config of the detector. With a language model it has no classes of its own.
        datasets: Key and config of each dataset without wrappers.

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
            check_heads(model, key, tuple(metainfo.get('thing_classes', classes)))
            first = first or (key, classes)
            check_same_classes(first, (key, classes))


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
            'names are dropped, so use the same names in both'
        )
    listed = tuple(name for name in names if name in classes)
    is_sorted = kind.load_data_list is not CocoDataset.load_data_list  # as Objects365V1Dataset
    if listed != classes and not is_sorted:
        raise ConfigError(
            f'{key}.metainfo.classes={truncate(classes)}, but {path} lists {truncate(listed)}. '
            'mmdet numbers classes in the order of the file: use the same order in metainfo and in '
            'every annotation file'
        )
