"""What mmdet makes of the config of a dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from mmdet.datasets import BaseDetDataset
from mmdet.registry import DATASETS

from ..errors import ConfigError


def dataset_class(dataset: Mapping) -> type | None:
    """The class of a dataset of images with boxes; None for video and unknown datasets."""
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    return kind if isinstance(kind, type) and issubclass(kind, BaseDetDataset) else None


def metainfo_of(key: str, dataset: Mapping, kind: type) -> dict:
    """The metainfo that a dataset of class `kind` will have.

    Raises:
        ConfigError: Its classes are a single string instead of a tuple.
    """
    given = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(given, str) and not os.path.isfile(given):
        raise ConfigError(
            f'{key}.metainfo.classes={given!r} must be a tuple of names, such as ({given!r},) for '
            'one class, or a file with one name per line'
        )
    return kind._load_metainfo(dataset.get('metainfo'))


def classes_of(datasets: Iterable[tuple[str, Mapping]]) -> tuple[str, ...]:
    """Classes of the first dataset that has some, which the metric evaluates."""
    for key, dataset in datasets:
        kind = dataset_class(dataset)
        classes = metainfo_of(key, dataset, kind).get('classes') if kind else None
        if classes:
            return tuple(classes)
    return ()
