"""Labels of video data sets, from folders or list files: read, and checked before training starts.

mmaction2 finds a label that no class of the head has in the first loss, as an index error (on a GPU
as an assertion of a kernel), and takes a blank line of a list file for a video.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from typing import Any

from ..checkpoints.formats import shortened
from .classes import class_heads
from .config_parts import ConfigError, is_local

VIDEO_SUFFIXES = ('.mp4', '.mkv', '.avi', '.mov', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.flv')


def read_class_folders(folder: str) -> tuple[str, ...]:
    """Names of the classes of `folder/CLASS/*.mp4`: its folders, sorted. Hidden ones do not count.

    Raises:
        ConfigError: There is no such folder, it has fewer than two folders, or one without videos.
    """
    if not os.path.isdir(folder):
        raise ConfigError(
            f'folder of videos {folder!r} does not exist; correct data_root, for '
            'configs/_base_/datasets/own_videos.py with export OWN_DATA=FOLDER'
        )
    names = tuple(sorted(name for name in os.listdir(folder) if _is_class(folder, name)))
    if len(names) < 2:
        raise ConfigError(
            f'{folder} has {len(names)} folders with a name of a class; a class is learned beside '
            f'others, so lay videos out as {os.path.join(folder, "CLASS", "VIDEO.mp4")}'
        )
    present = {label for _, label in labelled_videos(folder, names)}
    for label, name in enumerate(names):
        if label not in present:
            raise ConfigError(_no_videos(os.path.join(folder, name)))
    return names


def labelled_videos(folder: str, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Path and label of each video in `folder/CLASS`, at any depth: by class, sorted in each.

    Videos are told by `VIDEO_SUFFIXES` in any case; other files and hidden ones are left out. A
    class may have no videos here, or no folder.

    Raises:
        ConfigError: Videos belong to no class, or there are none.
    """
    unknown = sorted(n for n in os.listdir(folder) if _is_class(folder, n) and n not in classes)
    if unknown:
        raise ConfigError(
            f'{folder} has folders of {len(unknown)} classes that are not trained: '
            f'{shortened(unknown)}; the classes are {shortened(classes)}. Correct their names, or '
            'move them away'
        )
    loose = [name for name in sorted(os.listdir(folder)) if _is_video(folder, name)]
    if loose:
        raise ConfigError(
            f'{os.path.join(folder, loose[0])} (of {len(loose)}) lies in no folder of a class, '
            'which would be its label; move it into one'
        )
    found = [
        (path, label)
        for label, name in enumerate(classes)
        for path in _videos(os.path.join(folder, name))
    ]
    if not found:
        raise ConfigError(_no_videos(folder))
    return found


def _is_class(folder: str, name: str) -> bool:
    return not name.startswith('.') and os.path.isdir(os.path.join(folder, name))


def _is_video(folder: str, name: str) -> bool:
    has_suffix = name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith('.')
    return has_suffix and os.path.isfile(os.path.join(folder, name))


def _videos(folder: str) -> list[str]:
    # Names with a dot in front are left out, as ._NAME.mp4, which macOS writes beside NAME.mp4.
    names = sorted(glob('**/*', root_dir=folder, recursive=True))
    return [os.path.join(folder, name) for name in names if _is_video(folder, name)]


def _no_videos(folder: str) -> str:
    paths = glob('**/*.*', root_dir=folder, recursive=True)
    suffixes = sorted({os.path.splitext(path)[1] for path in paths})
    return (
        f'{folder} has no video ({", ".join(VIDEO_SUFFIXES)}); it has '
        f'{", ".join(suffixes[:5]) or "no files"}. Fill it, or move it away'
    )


def check_video_labels(model: Mapping, datasets: Sequence[tuple[str, Mapping]]) -> None:
    """Hold the labels of mmaction2 data sets of videos against the classes of the head.

    Args:
        model: Config of the recognizer.
        datasets: Key and config of each data set without wrappers. Those of the test loader may
            have videos without a label.

    Raises:
        ConfigError: They differ, or a list file is faulty; names the file and the line.
    """
    from ..video import FolderVideoDataset

    first = None
    for key, dataset in datasets:
        kind = _class_of(dataset)
        classes = tuple((dataset.get('metainfo') or {}).get('classes') or ()) if kind else ()
        if classes:
            _check_heads(model, key, classes)
            first = first or (key, classes)
            if classes != first[1]:
                raise ConfigError(
                    f'{first[0]}.metainfo.classes={shortened(first[1])}, but {key}.metainfo.'
                    f'classes={shortened(classes)}: a class is known by its place, so make them '
                    'equal'
                )
        if kind and issubclass(kind, FolderVideoDataset):
            _build(key, dataset, kind).load_data_list()
        elif kind and is_local(dataset.get('backend_args')):
            _check_list(model, key, dataset)


def _class_of(dataset: Mapping) -> type | None:
    """The class of a data set of whole videos; None for others, and ones that read other lists."""
    from mmaction.datasets import VideoDataset
    from mmaction.registry import DATASETS

    from ..video import FolderVideoDataset

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


def _check_heads(model: Mapping, key: str, classes: tuple[str, ...]) -> None:
    for name, head in class_heads(model):
        if head['num_classes'] != len(classes):
            raise ConfigError(
                f'{name}.num_classes={head["num_classes"]}, but {key} has {len(classes)} classes: '
                f'{shortened(classes)}. Set --cfg-options {name}.num_classes={len(classes)}'
            )


def _check_list(model: Mapping, key: str, dataset: Mapping) -> None:
    path = os.path.join(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    if not os.path.isfile(path):  # of another file backend
        return
    needs_labels = not key.startswith('test')
    lines = list(_read_list(path, dataset))
    if not lines:
        raise ConfigError(f'{key}.ann_file={path!r} lists no video')
    for where, labels in lines:
        if needs_labels and not labels:
            raise ConfigError(f'{where}: no label; each line is VIDEO LABEL')
        for name, head in class_heads(model):
            wrong = [label for label in labels if not 0 <= label < head['num_classes']]
            if wrong:
                raise ConfigError(
                    f'{where}: label {wrong[0]}, but {name}.num_classes={head["num_classes"]}, so '
                    f'labels are 0 to {head["num_classes"] - 1}. Correct the file ({key}.ann_file),'
                    f' or the head with --cfg-options {name}.num_classes=N'
                )


def _read_list(path: str, dataset: Mapping) -> Iterator[tuple[str, list[int]]]:
    """File and number of each line, and its labels, split as mmaction2 splits it."""
    delimiter = dataset.get('delimiter', ' ')
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            where, (video, *labels) = f'{path}:{number}', line.strip().split(delimiter)
            if not video:
                raise ConfigError(f'{where}: a blank line, which mmaction2 takes for a video')
            if len(labels) > 1 and not dataset.get('multi_class'):
                raise ConfigError(
                    f'{where}: {len(labels)} fields after {video!r}, and a label is one; a name '
                    'with a blank in it needs another separator, set with delimiter of the data set'
                )
            try:
                yield where, [int(label) for label in labels]
            except ValueError as error:
                raise ConfigError(f'{where}: label {" ".join(labels)!r} is no integer') from error
