"""Classes of detection data sets: read from annotation files, and checked before training starts.

Three numbers must agree: the classes that a data set is told of (`metainfo`), those in its
annotation file, and `num_classes` of the heads. mmdet drops objects of classes that it is not told
of without a word, and finds a head too small in the first loss, as an index error.
"""

from __future__ import annotations

import copy
import json
import mmap
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..checkpoints.formats import shortened
from ..checks.class_lengths import resize_blending, resize_class_settings, resize_panoptic
from ..checks.coco_file import parse
from ..config_parts import is_local, type_name
from ..errors import ConfigError

EDGE_HEADS = ('STDCHead',)  # of mmseg; they learn where objects end
JSON_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]]')  # or a string, which may hold some
OTHER_HEADS = ('roi_head', 'rpn_head', 'semantic_head')  # with classes of their own, or none


def read_classes(ann_file: str) -> tuple[str, ...]:
    """Names of the categories of a COCO annotation file, in its order, which mmdet numbers them in.

    Raises:
        ConfigError: There is no such file, or it has no categories.
    """
    if not os.path.isfile(ann_file):
        raise ConfigError(
            f'annotation file {ann_file!r} does not exist; correct data_root, for '
            'configs/_base_/datasets/own_instance.py with export OWN_DATA=FOLDER, or the name of '
            'the file'
        )
    with open(ann_file, 'rb') as file:
        categories = _find_categories(file.fileno()) if os.path.getsize(ann_file) else None
    if not categories:
        categories = _parse_categories(ann_file)
    if not categories:
        raise ConfigError(f'{ann_file} is not in COCO format: it lists no categories with names')
    return tuple(category['name'] for category in categories)


def _find_categories(file: int) -> list[dict] | None:
    """The list "categories" alone: training files of COCO and Objects365 have up to gigabytes."""
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as text:
        for key in re.finditer(rb'"categories"\s*:\s*\[', text):
            start = key.end() - 1
            try:
                found = json.loads(text[start : _end_of_list(text, start)])
            except (ValueError, RecursionError):
                continue
            if _has_names(found):
                return found
    return None


def _parse_categories(path: str) -> list[dict] | None:
    """The list from the whole file, which names what is wrong with it; also of UTF-16."""
    try:
        content, _ = parse(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f'{path} {error}') from error
    found = content.get('categories') if isinstance(content, dict) else None
    return found if isinstance(found, list) and _has_names(found) else None


def _has_names(found: list) -> bool:
    named = [isinstance(c, dict) and isinstance(c.get('name'), str) for c in found]
    return bool(named) and all(named)


def _end_of_list(text: mmap.mmap, start: int) -> int:
    depth = 0
    for token in JSON_BRACKET.finditer(text, start):
        depth += {b'[': 1, b']': -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return start  # it has no end


def set_num_classes(model: Mapping, num_classes: int) -> Any:
    """A copy of a model's config for another number of classes, the same in every head.

    Class weights and other settings of the heads' losses follow, see `resize_class_settings`. The
    head of a semantic branch of a detector, and one that learns edges, keep their own.

    Raises:
        ConfigError: No head has a `num_classes`, or a setting must be made by hand.
    """
    model = copy.deepcopy(model)
    heads = list(class_heads(model))
    if not heads and not resize_panoptic(model, num_classes):
        raise ConfigError(f'no head of model {model.get("type")} has num_classes: set it by hand')
    for key, head in heads:
        resize_class_settings(key, head, head['num_classes'], num_classes)
        head['num_classes'] = num_classes
    resize_blending(model, num_classes)
    return model


def class_heads(model: Mapping) -> Iterator[tuple[str, Any]]:
    """The heads of a detector or segmentor that tell the classes of its data apart, with keys."""
    for owner, parts in (('model', model), ('model.roi_head', model.get('roi_head') or {})):
        for name, heads in parts.items():
            if not name.endswith('_head') or name in OTHER_HEADS:
                continue
            numbered = isinstance(heads, (list, tuple))
            for i, head in enumerate(heads if numbered else [heads]):
                is_other = (head or {}).get('class_agnostic') or type_name(head) in EDGE_HEADS
                if 'num_classes' in (head or {}) and not is_other:
                    yield f'{owner}.{name}.{i}' if numbered else f'{owner}.{name}', head


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
            f'of {path}, first {shortened(absent, 3)}; it has {shortened(names)}. Objects of other '
            'names are left out, so make the names equal'
        )
    listed = tuple(name for name in names if name in classes)
    is_sorted = kind.load_data_list is not CocoDataset.load_data_list  # as Objects365V1Dataset
    if listed != classes and not is_sorted:
        raise ConfigError(
            f'{key}.metainfo.classes={shortened(classes)}, but {path} lists {shortened(listed)}. '
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
            f'{name}={number}, but {key} has {len(classes)} classes: {shortened(classes)}. Set its '
            f'metainfo=dict(classes=...), or the heads with --cfg-options {options}'
        )


def _check_equal(first: tuple[str, tuple], second: tuple[str, tuple]) -> None:
    if first[1] != second[1]:
        raise ConfigError(
            f'{first[0]}.metainfo.classes={shortened(first[1])}, but {second[0]}.metainfo.classes='
            f'{shortened(second[1])}: a class is known by its place, so make them equal'
        )
