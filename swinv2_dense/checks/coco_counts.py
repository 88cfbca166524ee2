"""Count the objects that mmdet keeps, and say why it leaves out the others."""

from __future__ import annotations

import numpy as np

from .coco_file import (
    AREA,
    CATEGORY,
    CROWD,
    ID,
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


def count_objects(file: CocoFile, sizes: np.ndarray, use: Use, report: Report) -> None:
    """Count as `CocoDataset.parse_data_info` and `filter_data` keep (mmdet 3.3)."""
    rows = file.rows
    chosen = chosen_categories(file, use)
    order = list(dict.fromkeys(image.key for image in file.images))
    images = np.asarray(order, dtype=int)
    kept_images = images
    if use.is_filtered:
        own = rows[np.isin(rows[:, CATEGORY], list(chosen)), IMAGE]
        is_kept = np.isin(images, own) if use.filter_empty else np.ones(len(images), bool)
        kept_images = images[is_kept & ~(sizes[images].min(1) < use.min_size)]
    if isinstance(use.indices, int):
        # mmengine counts from the end where it is negative.
        part = slice(use.indices) if use.indices >= 0 else slice(use.indices, None)
        kept_images = kept_images[part]
    elif use.indices is not None:
        kept_images = kept_images[list(use.indices)]
    times = np.zeros(len(file.keys), dtype=int)
    np.add.at(times, kept_images, 1)

    rest = rows[np.isin(rows[:, IMAGE], images)]
    reasons: dict[str, int] = {'of images that are not listed': len(rows) - len(rest)}
    explained: dict[str, int] = {}

    def leave_out(mask: np.ndarray, reason: str, told: bool = False) -> None:
        nonlocal rest
        (explained if told else reasons)[reason] = int(mask.sum())
        rest = rest[~mask]

    leave_out(~np.isin(rest[:, CATEGORY], list(chosen)), 'of other classes', told=True)
    of_classes = len(rest)
    leave_out(rest[:, IGNORE] == 1, 'marked ignore', told=True)
    x, y, w, h = rest[:, X : X + 4].T
    width, height = sizes[rest[:, IMAGE].astype(int)].T
    inside_w = np.maximum(0, np.minimum(x + w, width) - np.maximum(x, 0))
    inside_h = np.maximum(0, np.minimum(y + h, height) - np.maximum(y, 0))
    leave_out(inside_w * inside_h == 0, 'outside of their image')
    leave_out((rest[:, W] < 1) | (rest[:, H] < 1), 'less than a pixel wide or high')
    leave_out(rest[:, AREA] <= 0, 'of area 0')
    is_short = use.with_masks & (rest[:, MASK] == SHORT)
    lost_by_image = times[rest[:, IMAGE].astype(int)] == 0
    leave_out(lost_by_image, 'in images that filter_cfg or indices leaves out', told=True)

    repeats = times[rest[:, IMAGE].astype(int)]
    is_crowd = rest[:, CROWD] != 0
    report.kept = int(repeats.sum())
    report.learned = int(repeats[~is_crowd].sum())
    # They are kept, but mmdet ignores them in training, and the copy in evaluation.
    ignored = {'outlined by polygons of odd or fewer than 6 numbers': int(is_short.sum())}
    _check_loss(report, use, of_classes, reasons | ignored, int(is_crowd.sum()))
    if is_short.any() and not use.is_evaluated:
        report.notes.append(
            f'{is_short.sum()} objects have polygons of odd or fewer than 6 numbers alone, and are '
            'ignored'
        )
    if use.with_masks:
        _check_masks(report, rest[~is_crowd])
    absent = [
        name
        for key, name in file.categories
        if key in chosen and not (rest[~is_crowd, CATEGORY] == key).any()
    ]
    if absent and report.learned and use.needs_objects:
        shown = ', '.join(absent[:5]) + (', ...' if len(absent) > 5 else '')
        report.notes.append(f'{len(absent)} of {len(chosen)} classes have no object: {shown}')
    out = [f'{count} {why}' for why, count in {**explained, **reasons}.items() if count]
    crowds = report.kept - report.learned
    report.counts = (
        f'{report.kept} of {report.listed} objects kept, in {len(kept_images)} of '
        f'{len(images)} images'
        + (f'; {crowds} of them are crowds, which are ignored' if crowds else '')
        + (f'; left out: {", ".join(out)}' if out else '')
    )


def _check_loss(
    report: Report, use: Use, of_classes: int, reasons: dict[str, int], crowds: int
) -> None:
    lost = sum(reasons.values())
    told = ', '.join(f'{count} {why}' for why, count in reasons.items() if count)
    if lost > MANY * (of_classes + reasons['of images that are not listed']):
        report.errors.append(
            f'{lost} of {report.listed} objects are left out ({told}), more than {MANY:.0%}; '
            'correct them, or remove them from the file'
        )
    elif use.needs_objects and not report.learned:
        why = (
            f'all {crowds} that are left have iscrowd=1, which is for regions to ignore; write '
            'iscrowd=0 for objects'
            if crowds
            else 'none is of the classes of the config, in an image that is used; AP would be -1. '
            'Correct metainfo.classes or filter_cfg, or name a file with objects'
        )
        report.errors.append(f'{report.listed} objects are listed and none is kept: {why}')
    elif crowds > 0.5 * max(1, crowds + report.learned):
        report.notes.append(
            f'{crowds} of {crowds + report.learned} objects have iscrowd=1 and are ignored; write '
            'iscrowd=0 for objects'
        )


def _check_masks(report: Report, objects: np.ndarray) -> None:
    none = objects[:, MASK] == NO_MASK
    if none.any():
        row = objects[np.flatnonzero(none)[0]]
        report.errors.append(
            f'{none.sum()} of {len(objects)} objects have no segmentation, first annotation '
            f'{row[ID]:.0f}, and masks are used; add polygons, or take a model without mask_head '
            "with with_mask=False and metric='bbox'"
        )
