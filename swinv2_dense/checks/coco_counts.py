"""Count the objects that mmdet keeps, and report why it drops the others.

The rules are those of `CocoDataset.parse_data_info` and `filter_data` (mmdet 3.3).
"""

from __future__ import annotations

import numpy as np

from .coco_file import (
    AREA,
    CATEGORY,
    CROWD,
    IGNORE,
    IMAGE,
    MASK,
    NO_MASK,
    SHORT,
    CocoFile,
    H,
    W,
    X,
)
from .coco_report import MANY, Report, Use, chosen_categories

BOX_MODELS = 'faster-rcnn.py, cascade-rcnn.py, atss.py or htc++_without-mask.py'
FOR_BOXES = (
    'use configs/_base_/datasets/own_boxes.py with a model '
    f'without masks, such as {BOX_MODELS} in configs/_base_/models'
)
SHORT_POLYGONS = 'only polygons of odd or fewer than 6 numbers'


class _Tally:
    """The remaining objects, and how many were dropped for which reason."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.places = np.arange(len(rows))  # in the file
        self.reasons: dict[str, int] = {}  # drops that the config asks for
        self.losses: dict[str, int] = {}  # other drops
        self.lost: list[int] = []  # the first place of each loss

    def leave_out(self, mask: np.ndarray, reason: str) -> None:
        self.reasons[reason] = int(mask.sum())
        self._drop(mask)

    def lose(self, mask: np.ndarray, reason: str) -> None:
        """Drop objects that the config does not ask to drop."""
        self.losses[reason] = int(mask.sum())
        self.lost += self.places[mask][:1].tolist()
        self._drop(mask)

    def _drop(self, mask: np.ndarray) -> None:
        self.rows, self.places = self.rows[~mask], self.places[~mask]


def count_objects(file: CocoFile, sizes: np.ndarray, use: Use, report: Report) -> None:
    """Count images and objects into the report, and assess what is dropped.

    Args:
        file: The file, with areas and crowds as repaired.
        sizes: (keys, 2), width and height by the key of an image.
        use: How the file is used.
        report: Receives the counts, an error about losses, and notes.
    """
    chosen = list(chosen_categories(file, use))
    images = np.asarray(list(dict.fromkeys(image.key for image in file.images)), dtype=int)
    kept_images = _kept_images(file.rows, images, sizes, chosen, use)
    times = np.zeros(len(file.keys), dtype=int)
    np.add.at(times, kept_images, 1)

    tally = _Tally(file.rows)
    tally.lose(~np.isin(tally.rows[:, IMAGE], images), 'of images that are not listed')
    tally.leave_out(~np.isin(tally.rows[:, CATEGORY], chosen), 'of other classes')
    total = len(tally.rows) + sum(tally.losses.values())
    tally.leave_out(tally.rows[:, IGNORE] == 1, 'marked ignore')
    tally.lose((tally.rows[:, [W, H]] < 1).any(1), 'less than a pixel wide or high')
    tally.lose(_is_outside(tally.rows, sizes), 'outside their image')
    tally.lose(tally.rows[:, AREA] <= 0, 'of area 0')
    unused = times[tally.rows[:, IMAGE].astype(int)] == 0
    tally.leave_out(unused, 'in images that filter_cfg or indices excludes')

    repeats = times[tally.rows[:, IMAGE].astype(int)]
    is_crowd = tally.rows[:, CROWD] != 0
    report.kept, report.learned = int(repeats.sum()), int(repeats[~is_crowd].sum())
    per_image = np.bincount(tally.rows[~is_crowd, IMAGE].astype(int), minlength=1)
    report.most = int(per_image.max())
    report.counts = _in_words(report, tally, len(kept_images), len(images))
    if use.with_masks:
        _check_masks(file, tally, use, report)
    _judge(file, tally, total, use, report)
    absent = [
        name
        for key, name in file.categories
        if key in chosen and not (tally.rows[~is_crowd, CATEGORY] == key).any()
    ]
    if absent and report.learned and use.needs_objects:
        shown = ', '.join(absent[:5]) + (', ...' if len(absent) > 5 else '')
        report.notes.append(f'{len(absent)} of {len(chosen)} classes have no object: {shown}')


def _kept_images(
    rows: np.ndarray, images: np.ndarray, sizes: np.ndarray, chosen: list[int], use: Use
) -> np.ndarray:
    """Keys of the images of the dataset, repeated as often as it contains them."""
    if use.is_filtered:
        is_kept = sizes[images].min(1, initial=np.inf) >= use.min_size
        if use.filter_empty:  # any annotation counts, even one that mmdet drops
            is_kept &= np.isin(images, rows[np.isin(rows[:, CATEGORY], chosen), IMAGE])
        images = images[is_kept]
    if isinstance(use.indices, int):  # the first n, or the last n if negative, as in mmengine
        return images[: use.indices] if use.indices >= 0 else images[use.indices :]
    return images if use.indices is None else images[list(use.indices)]


def _is_outside(rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    x, y, w, h = rows[:, X : X + 4].T
    width, height = sizes[rows[:, IMAGE].astype(int)].T
    inside_w = np.maximum(0, np.minimum(x + w, width) - np.maximum(x, 0))
    inside_h = np.maximum(0, np.minimum(y + h, height) - np.maximum(y, 0))
    return inside_w * inside_h == 0


def _check_masks(file: CocoFile, tally: _Tally, use: Use, report: Report) -> None:
    places = tally.places
    if use.is_evaluated:  # pycocotools decodes all masks, even those of objects that mmdet drops
        places = np.flatnonzero(np.isin(file.rows[:, CATEGORY], list(chosen_categories(file, use))))
    none = places[file.rows[places, MASK] == NO_MASK]
    if len(none):
        report.errors.append(_missing_masks(len(none), len(places), file.name(none[0])))
    short = tally.rows[:, MASK] == SHORT
    if short.any():  # kept but ignored: by mmdet in training, as crowds in evaluation
        tally.losses[f'ignored, having {SHORT_POLYGONS}'] = int(short.sum())
        tally.lost.append(int(tally.places[short][0]))
        if not use.is_evaluated:
            report.notes.append(f'{short.sum()} objects have {SHORT_POLYGONS}, and are ignored')


def _missing_masks(missing: int, total: int, first: str) -> str:
    """What a file lacks whose masks are used, and the remedy; continues after its name."""
    remedy = 'for boxes only' if missing == total else 'add polygons to them, or for all boxes'
    return (
        f'{missing} of {total} objects have no segmentation, first {first}, and masks are used; '
        f'{remedy}, {FOR_BOXES}'
    )


def _judge(file: CocoFile, tally: _Tally, total: int, use: Use, report: Report) -> None:
    lost = sum(tally.losses.values())
    crowds = report.kept - report.learned
    if lost > MANY * total:
        reasons = ', '.join(f'{count} {why}' for why, count in tally.losses.items() if count)
        report.errors.append(
            f'{lost} of {report.listed} objects are dropped ({reasons}), more than {MANY:.0%}, '
            f'first {file.name(min(tally.lost))}; fix them, or remove them from the file'
        )
    elif use.needs_objects and not report.learned:
        first = f', first {file.name(0)}' if report.listed else ''
        why = (
            f'the remaining {crowds} have iscrowd=1, which is for regions to ignore; write '
            'iscrowd=0 for objects'
            if crowds
            else 'none has a class of the config and lies in an image that is used; AP would be '
            '-1. Fix metainfo.classes or filter_cfg, or use a file with objects'
        )
        report.errors.append(f'{report.listed} objects are listed{first}, and none is kept: {why}')
    elif crowds > report.learned:
        report.notes.append(
            f'{crowds} of {report.kept} objects have iscrowd=1 and are ignored; write iscrowd=0 '
            'for objects'
        )


def _in_words(report: Report, tally: _Tally, kept_images: int, images: int) -> str:
    left_out = {**tally.reasons, **tally.losses}
    reasons = [f'{count} {why}' for why, count in left_out.items() if count]
    crowds = report.kept - report.learned
    return (
        f'{report.kept} of {report.listed} objects kept, in {kept_images} of {images} images'
        + (f'; {crowds} of them are crowds, which are ignored' if crowds else '')
        + (f'; dropped: {", ".join(reasons)}' if reasons else '')
    )
