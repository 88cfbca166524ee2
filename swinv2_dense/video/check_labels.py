"""Check the labels of video datasets, from folders or list files, before training starts.

With a label beyond the classes of the head, mmaction2 fails in the first loss with an index error
(on a GPU with a failed kernel assertion). It treats a blank line in a list file as a video.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log

from ..checks.class_heads import check_heads, class_heads
from ..checks.class_lists import check_same_classes
from ..config_parts import is_local
from ..errors import ConfigError, truncate


def check_video_labels(model: Mapping, datasets: Sequence[tuple[str, Mapping]]) -> None:
    """Compare the labels of mmaction2's video datasets with the classes of the head.

    Args:
        model: Config of the recognizer.
        datasets: Key and config of each dataset without wrappers. Videos of the test loader may
            have no label.

    Raises:
        ConfigError: They differ, or a list file is invalid; gives its name and line.
    """
    from . import FolderVideoDataset

    first = None
    for key, dataset in datasets:
        kind = _class_of(dataset)
        classes = _names(key, dataset, kind) if kind else ()
        if classes:
            check_heads(model, key, classes)
            first = first or (key, classes)
            check_same_classes(first, (key, classes))
        if kind and issubclass(kind, FolderVideoDataset):
            videos = _build(key, dataset, kind).load_data_list()
            _note_absent(key, classes, {video['label'] for video in videos})
        elif kind and is_local(dataset.get('backend_args')):
            _check_list(model, key, dataset)


def _note_absent(key: str, classes: Sequence[str], present: set[int]) -> None:
    """Log classes without a video; `read_class_folders` rejects them in training."""
    absent = [name for label, name in enumerate(classes) if label not in present]
    if absent:
        result = 'acc/mean1 counts such a class as 0.0 if it is predicted, and omits it if not'
        if key.startswith('train'):
            result = 'they are not learned'
        print_log(
            f'{key} has no video of {len(absent)} of {len(classes)} classes ({truncate(absent)}): '
            f'{result}',
            level=logging.WARNING,
        )


def _names(key: str, dataset: Mapping, kind: type) -> tuple[str, ...]:
    names = kind._load_metainfo(dataset.get('metainfo')).get('classes') or ()
    if isinstance(names, str):
        raise ConfigError(
            f'{key}.metainfo.classes={names!r} must be a tuple of names, or a file with one name '
            'per line'
        )
    return tuple(names)


def _class_of(dataset: Mapping) -> type | None:
    """The class of a dataset of videos; None for other datasets, or ones with their own listing."""
    from mmaction.datasets import VideoDataset
    from mmaction.registry import DATASETS

    from . import FolderVideoDataset

    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not isinstance(kind, type) or not issubclass(kind, VideoDataset):
        return None
    known = (VideoDataset.load_data_list, FolderVideoDataset.load_data_list)
    return kind if kind.load_data_list in known else None


def _build(key: str, dataset: Mapping, kind: type) -> Any:
    settings = {k: v for k, v in dataset.items() if k not in ('type', '_scope_')}
    try:
        return kind(**{**settings, 'pipeline': [], 'lazy_init': True})
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{key}: {error}') from error


def _check_list(model: Mapping, key: str, dataset: Mapping) -> None:
    path = os.path.join(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    if not os.path.isfile(path):  # of another file backend
        return
    needs_labels = not key.startswith('test')
    lines = list(_read_list(path, dataset))
    if not lines:
        raise ConfigError(f'{key}.ann_file={path!r} lists no videos')
    names = dataset.get('metainfo', {}).get('classes') or ()
    present = {label for _, labels in lines for label in labels}
    if present:
        for _, head in class_heads(model):
            known = names or tuple(map(str, range(head['num_classes'])))
            _note_absent(key, known, present)
    for where, labels in lines:
        if needs_labels and not labels:
            raise ConfigError(f'{where}: no label; each line must be VIDEO LABEL')
        for name, head in class_heads(model):
            wrong = [label for label in labels if not 0 <= label < head['num_classes']]
            if wrong:
                raise ConfigError(
                    f'{where}: label {wrong[0]}, but {name}.num_classes={head["num_classes"]}, so '
                    f'labels are 0 to {head["num_classes"] - 1}. Fix the file ({key}.ann_file), or '
                    f'the head with --cfg-options {name}.num_classes=N'
                )


def _read_list(path: str, dataset: Mapping) -> Iterator[tuple[str, list[int]]]:
    """`FILE:LINE` and the labels of each line, split like in mmaction2."""
    delimiter = dataset.get('delimiter', ' ')
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            where, (video, *labels) = f'{path}:{number}', line.strip().split(delimiter)
            if not video:
                raise ConfigError(f'{where}: a blank line, which mmaction2 reads as a video')
            if len(labels) > 1 and not dataset.get('multi_class'):
                raise ConfigError(
                    f'{where}: {len(labels)} fields after {video!r} instead of one label; if names '
                    'contain blanks, set delimiter of the dataset to another separator'
                )
            try:
                yield where, [int(label) for label in labels]
            except ValueError as error:
                label = ' '.join(labels)
                raise ConfigError(f'{where}: label {label!r} is not an integer') from error
