"""Check the COCO annotation files of a config before the first step.

Unambiguous mistakes are fixed in a copy that is read instead; see `checks.coco_objects`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mmdet.datasets import (
    CocoDataset,
    CocoPanopticDataset,
    Objects365V1Dataset,
    Objects365V2Dataset,
)
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from ..checks.coco_check import Result, check_annotation_file, check_metric_images, check_splits
from ..checks.coco_report import Use
from ..checks.result_cache import file_digest
from ..config_parts import as_list, datasets_of, is_local, type_name
from ..errors import ConfigError
from .datasets import classes_of, dataset_class, metainfo_of

# Datasets that read this format; subclasses with their own `load_data_list` are not checked.
READERS = [kind.load_data_list for kind in (CocoDataset, Objects365V1Dataset, Objects365V2Dataset)]
ROTATED = ('color', 'grayscale')  # color types with which mmcv applies EXIF orientation
MASK_STEPS = ('InstaBoost', 'RunLengthInstaBoost')  # edit masks before they are loaded
SHOWN = 3  # errors in one message


class AnnotationFile(NamedTuple):
    """A file that a dataset or a metric reads."""

    loader: str  # train, val or test
    key: str  # of its owner in the config
    owner: Any  # the part of the config whose ann_file it is
    path: str
    use: Use
    is_metric: bool = False


def annotation_files(cfg: Mapping, loaders: tuple[str, ...]) -> list[AnnotationFile]:
    """The files on local disks that loaders and their metrics read."""
    return [file for loader in loaders for file in _files_of(cfg, loader)]


def check_annotation_files(
    cfg: Mapping, loaders: tuple[str, ...]
) -> list[tuple[AnnotationFile, Result]]:
    """Check all files, and that training and evaluation share no image.

    Raises:
        ConfigError: A file has errors; gives the first annotation, their number, and a remedy.
    """
    checked = []
    for file in annotation_files(cfg, loaders):
        try:
            result = check_annotation_file(file.path, file.use)
        except OSError as error:
            raise ConfigError(f'{file.key}.ann_file={file.path!r}: {error.strerror}') from error
        if result.errors:
            more = len(result.errors) - SHOWN
            errors = '; '.join(result.errors[:SHOWN]) + (f'; and {more} more' if more > 0 else '')
            raise ConfigError(f'{file.key}.ann_file={file.path!r}: {errors}')
        checked.append((file, result))
    for file, result in checked:
        for other, others in checked:
            if file.loader == 'train' and other.loader != 'train':
                others.notes.extend(_shared(file, result, other, others))
            if file.is_metric and other.loader == file.loader and not other.is_metric:
                wrong = check_metric_images(_split(other, others), _split(file, result))
                if wrong:
                    raise ConfigError(
                        f'{file.key}.ann_file={file.path!r}: {wrong}; use the file of the dataset'
                    )
    return checked


def _split(file: AnnotationFile, result: Result) -> tuple[str, Use, list]:
    return file.path, file.use, result.images


def _shared(file: AnnotationFile, result: Result, other: AnnotationFile, others: Result) -> list:
    if file.use.folder is None or other.use.folder is None or other.is_metric:
        return []
    found = check_splits(_split(file, result), _split(other, others))
    if found and file_digest(file.path) != file_digest(other.path):
        raise ConfigError(
            f'{other.key}.ann_file={other.path!r}: {found}; evaluating on training images is '
            'meaningless, so remove them from one of the two files'
        )
    return [f'has the same annotations and images: {found}'] if found else []


def use_repaired(
    parts: Mapping,
    loaders: tuple[str, ...],
    log: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Let datasets and metrics read repaired copies, before they are built, and report contents.

    Args:
        parts: Has `LOADER_dataloader` and `LOADER_evaluator` like a config; changed in place.
        loaders: See `check_annotation_files`.
        log: Receives the numbers of objects.
        warn: Receives repairs and notes.
    """
    reported = set()
    for file, result in check_annotation_files(parts, loaders):
        if result.copy:
            file.owner['ann_file'] = result.copy
        if (file.path, file.use) in reported:  # a metric usually reads the file of its dataset
            continue
        reported.add((file.path, file.use))
        log(f'{file.key}: {result.counts} ({file.path})')
        for note in result.notes:
            warn(f'{file.key}.ann_file={file.path!r}: {note}')
        if result.copy:
            warn(
                f'{file.key}.ann_file={file.path!r}: {"; ".join(result.repairs)}. It is read from '
                f'the repaired copy {result.copy}'
            )


def repair_runner(runner: Any, loaders: tuple[str, ...]) -> None:
    """`use_repaired` for a runner before it builds its loops.

    The config that it saves keeps the original file names.
    """
    parts = {
        f'{loader}_{part}': getattr(runner, f'_{loader}_{part}', None)
        for loader in loaders
        for part in ('dataloader', 'evaluator')
    }
    use_repaired(parts, loaders, runner.logger.info, runner.logger.warning)


def _files_of(cfg: Mapping, loader: str) -> Iterator[AnnotationFile]:
    settings = cfg.get(f'{loader}_dataloader')
    dataset = settings.get('dataset') if isinstance(settings, Mapping) else None
    parts = list(datasets_of(loader, dataset))
    metrics = list(_metrics(f'{loader}_evaluator', cfg.get(f'{loader}_evaluator')))
    evaluated = [metric for _, metric in metrics if not metric.get('format_only')]
    masks = any('segm' in as_list(metric.get('metric')) for metric in evaluated)
    uses: dict[str, Use] = {}
    for key, part in parts:
        path = _path(part, part.get('ann_file'))
        kind = dataset_class(part)
        reads_boxes = kind and issubclass(kind, CocoDataset) and kind.load_data_list in READERS
        # Panoptic files are checked by panoptic/check.py.
        if path and reads_boxes and not issubclass(kind, CocoPanopticDataset):
            use = _use(key, part, kind)
            if loader != 'train':
                use = use._replace(
                    is_evaluated=bool(evaluated),
                    with_masks=masks or use.with_masks,
                    needs_objects=bool(evaluated) or not metrics,
                )
            uses[os.path.abspath(path)] = use
            yield AnnotationFile(loader, key, part, path, use)
    for key, metric in metrics:
        path = _path({'backend_args': metric.get('backend_args')}, metric.get('ann_file'))
        if path:
            alone = Use(
                classes=classes_of(parts),
                is_evaluated=metric in evaluated,
                with_masks=masks,
                needs_objects=metric in evaluated,
            )
            use = uses.get(os.path.abspath(path), alone)
            yield AnnotationFile(loader, key, metric, path, use, is_metric=True)


def _path(part: Mapping, ann_file: Any) -> str | None:
    if not isinstance(ann_file, str) or not ann_file or not is_local(part.get('backend_args')):
        return None
    path = os.path.join(part.get('data_root') or '', ann_file)
    return path if '://' not in path and os.path.isfile(path) else None


def _metrics(key: str, evaluator: Any) -> Iterator[tuple[str, Mapping]]:
    """COCO metrics, including nested ones, with their keys."""
    is_list = isinstance(evaluator, (list, tuple))
    for i, part in enumerate(evaluator if is_list else [evaluator]):
        if not isinstance(part, Mapping):
            continue
        name = f'{key}[{i}]' if is_list else key
        kind = part.get('type')
        kind = METRICS.get(kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and issubclass(kind, CocoMetric):
            yield name, part
        yield from _metrics(f'{name}.metrics', part.get('metrics') or [])


def _use(key: str, dataset: Mapping, kind: type) -> Use:
    steps = [step for step in as_list(dataset.get('pipeline') or []) if isinstance(step, Mapping)]
    loaders = [step for step in steps if type_name(step) == 'LoadImageFromFile']
    is_rotated = None
    if loaders:
        rotates = loaders[0].get('imdecode_backend') != 'turbojpeg'
        is_rotated = rotates and loaders[0].get('color_type', 'color') in ROTATED
    prefix = dataset.get('data_prefix') or {}
    folder = prefix.get('img') if isinstance(prefix, Mapping) else prefix
    folder = os.path.join(dataset.get('data_root') or '', folder or '')
    filters = dataset.get('filter_cfg')
    indices = dataset.get('indices')
    return Use(
        classes=tuple(metainfo_of(key, dataset, kind).get('classes') or ()),
        is_filtered=filters is not None and not dataset.get('test_mode'),
        filter_empty=bool((filters or {}).get('filter_empty_gt')),
        min_size=(filters or {}).get('min_size', 0),
        indices=tuple(indices) if isinstance(indices, (list, tuple)) else indices,
        with_masks=any(step.get('with_mask') or type_name(step) in MASK_STEPS for step in steps),
        folder=folder if '://' not in folder and os.path.isdir(folder) else None,
        is_rotated=is_rotated,
        depth=2 if kind.load_data_list is Objects365V2Dataset.load_data_list else 0,
    )
