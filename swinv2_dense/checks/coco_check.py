"""Check an annotation file for one use of it; results are cached, see `result_cache`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from .coco_file import read_coco_file
from .coco_objects import check_objects
from .coco_repair import write_repaired
from .coco_report import Use
from .coco_sizes import image_path
from .result_cache import cache_folder, cached, file_digest, key_of
from .shared_images import shared_images

RULES = 2  # increase when the checks change, to invalidate cached results


class Result(NamedTuple):
    """What was found; the texts continue a sentence that starts with the file name."""

    errors: list[str]
    repairs: list[str]
    notes: list[str]
    counts: str
    kept: int  # objects in mmdet's dataset
    learned: int  # without crowds
    most: int  # learned of one image
    listed: int
    images: list[list]  # id and file name
    copy: str | None  # the repaired file to read instead


def check_annotation_file(path: str, use: Use) -> Result:
    """Check a file; once per machine for the same content and use.

    Raises:
        OSError: The file cannot be read.
    """
    digest = file_digest(path)
    key = key_of(RULES, 'objects', digest, Path(path).stem, use, _modified(use.folder))
    return Result(**cached(key, lambda: _examine(path, use, key)._asdict(), _is_current))


Split = tuple[str, Use, list[list]]  # a file, its use, and its images as in a Result


def check_splits(train: Split, other: Split) -> str:
    """Describe the images that two splits share; '' if there are none."""
    digests = [file_digest(train[0]), file_digest(other[0])]
    folders = [train[1].folder, other[1].folder]
    key = key_of(RULES, 'shared', digests, folders, list(map(_modified, folders)))

    def compare() -> dict:
        pairs = shared_images(*map(_paths, (train, other)))
        return dict(count=len(pairs), first=pairs[:1])

    found = cached(key, compare, lambda result: not result['count'])
    if not found['count']:
        return ''
    first, second = found['first'][0]
    alike = 'in both' if first == second else f'like {second}'
    return (
        f'{found["count"]} of {len(other[2])} images are also in {train[0]}, first {first} {alike}'
    )


def check_metric_images(dataset: Split, metric: Split) -> str:
    """Describe an image of a dataset that its metric's file does not list; '' if all are listed.

    pycocotools matches images by id only, and any two files that count from 1 share their ids.
    """
    known = {number: os.path.basename(name) for number, name in metric[2]}
    for number, name in dataset[2]:
        if number not in known:
            return f'it has no image with id {number!r}, which is {name!r} in {dataset[0]}'
        if known[number] != os.path.basename(name):
            return f'image {number!r} is {known[number]!r}, and {name!r} in {dataset[0]}'
    return ''


def _paths(split: Split) -> list[str]:
    return [image_path(name, split[1]) for _, name in split[2]]


def _examine(path: str, use: Use, key: str) -> Result:
    try:
        file = read_coco_file(path, use.with_masks)
    except ValueError as error:
        return Result(_printable([str(error)]), [], [], '', 0, 0, 0, 0, [], None)
    report = check_objects(file, use)
    copy = None
    if report.repairs and not report.errors:
        copy = cache_folder() / f'{Path(path).stem}-{key}-repaired.json'
        write_repaired(
            path,
            copy,
            sizes={file.keys[key]: size for key, size in report.sizes.items()},
            renumbers=report.renumbers,
            fills_area=report.fills_area,
            ignores_short=use.is_evaluated and use.with_masks,
        )
    return Result(
        errors=_printable(report.errors),
        repairs=_printable(report.repairs),
        notes=_printable(report.notes),
        counts=report.counts,
        kept=report.kept,
        learned=report.learned,
        most=report.most,
        listed=report.listed,
        images=[[file.keys[image.key], image.file_name] for image in file.images],
        copy=copy and str(copy),
    )


def _printable(texts: list[str]) -> list[str]:
    """json accepts lone surrogates, which cannot be printed."""
    return [text.encode(errors='backslashreplace').decode() for text in texts]


def _is_current(result: dict) -> bool:
    """Errors are checked again, because the images may have been fixed since."""
    return not result['errors'] and (not result['copy'] or os.path.isfile(result['copy']))


def _modified(folder: str | None) -> int:
    try:
        return os.stat(folder).st_mtime_ns if folder else 0
    except OSError:
        return 0
