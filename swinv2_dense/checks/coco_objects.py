"""Check what a dataset would keep of an annotation file, and what is wrong with it, before a run.

mmdet silently drops objects, and reads boxes in any format as x, y, width, height. So objects are
counted by mmdet's rules, and whatever can only be a mistake is reported.
"""

from __future__ import annotations

import numpy as np

from .coco_boxes import check_boxes
from .coco_counts import count_objects
from .coco_file import (
    AREA,
    BOTTOM,
    CATEGORY,
    CROWD,
    ID,
    IMAGE,
    LEFT,
    MASK,
    MASK_HEIGHT,
    MASK_WIDTH,
    PARTLY_SHORT,
    RIGHT,
    SHORT,
    TOP,
    CocoFile,
    Findings,
    H,
    W,
    X,
    Y,
)
from .coco_report import MANY, Report, Use, chosen_categories, line
from .coco_sizes import resolve_sizes

FEW = 0.01  # of the objects; training tolerates the same share of unreadable samples
FAR = 2**53  # the largest id that is exact as a float, as in `rows`


def check_objects(file: CocoFile, use: Use) -> Report:
    """Check a file for one use of it."""
    report = Report(listed=len(file.rows))
    found = Findings()
    sizes = _check_images(file, use, report, found)
    _check_categories(file, found)
    _check_references(file, found, report.notes)
    if not found and not file.faults:
        check_boxes(file, sizes, found, report.notes)
        _check_repeated(file, found)
    if use.with_masks:
        _check_masks(file, sizes, use, found, report.notes)
    _repair(file, use, report)
    for findings in (file.faults, found):
        report.errors += [line(kind, *finding) for kind, finding in findings.items()]
    if use.needs_objects and not file.has_annotations:
        report.errors.append(
            "has no list 'annotations', so there is nothing to learn or evaluate (AP is -1); "
            'use the file with the annotations of these images'
        )
    elif not report.errors:
        count_objects(file, sizes, use, report)
    return report


def _check_images(file: CocoFile, use: Use, report: Report, found: Findings) -> np.ndarray:
    """(keys, 2): width and height by the key of an image; nan for other keys."""
    by_key: dict[int, str] = {}
    by_name: dict[str, int] = {}
    for image in file.images:
        name = by_key.setdefault(image.key, image.file_name)
        if name != image.file_name:
            found.add(
                'images have the id of another image, as after merging files; give each image its '
                'own id, and its annotations that image_id',
                f'{image.file_name!r}, which has id {file.keys[image.key]!r} like {name!r}',
            )
        key = by_name.setdefault(image.file_name, image.key)
        if key != image.key:
            found.add(
                'images are listed again under another id, so each entry lacks the objects of the '
                'other; list each image once (use RepeatDataset to repeat)',
                f'{image.file_name!r} with ids {file.keys[key]!r} and {file.keys[image.key]!r}',
            )
    if use.needs_objects and not file.images:
        report.errors.append("lists no images in 'images'")
    return resolve_sizes(file, use, report, found)


def _check_categories(file: CocoFile, found: Findings) -> None:
    by_key: dict[int, str] = {}
    names: set[str] = set()
    for key, name in file.categories:
        if key < 0:
            found.add('categories have no id; give each one an id', repr(name))
        elif key in by_key:
            found.add(
                'categories have the id of another category; give each its own',
                f'{name!r}, which has id {file.keys[key]!r} like {by_key[key]!r}',
            )
        elif name in names:
            found.add('categories have the name of another category; give each its own', repr(name))
        by_key.setdefault(key, name)
        names.add(name)


def _check_references(file: CocoFile, found: Findings, notes: list[str]) -> None:
    rows = file.rows
    if not len(rows):
        return
    listed = {
        'category_id': {k for k, _ in file.categories},
        'image_id': {i.key for i in file.images},
    }
    for column, name in ((CATEGORY, 'category_id'), (IMAGE, 'image_id')):
        none = rows[:, column] < 0
        if none.any():
            found.add(f'annotations have no {name}; add it', *_first(file, none))
        unknown = ~none & ~np.isin(rows[:, column], list(listed[name]))
        if not unknown.any():
            continue
        index, count = np.flatnonzero(unknown)[0], int(unknown.sum())
        value = file.keys[int(rows[index, column])]
        shift = _shift(file, rows[~none, column], listed[name])
        what = 'category' if name == 'category_id' else 'image'
        first = f'{file.name(index)} with {name} {value!r}'
        text = (
            f'of {len(rows)} annotations have the {name} of no listed {what}; '
            f'{shift or _remedy(what)}'
        )
        if name == 'category_id' or shift or count > MANY * len(rows):
            found.add(text, first, count)
        else:
            notes.append(line(text, count, first))


def _remedy(what: str) -> str:
    if what == 'category':
        return 'fix it, or list the category'
    return 'mmdet drops them: fix the id, or remove the annotation'


def _shift(file: CocoFile, keys: np.ndarray, listed: set[int]) -> str:
    """Describe ids that are all off by one; '' if they are not."""
    used = [file.keys[int(key)] for key in np.unique(keys)]
    known = [file.keys[key] for key in listed if key >= 0]
    if not all(isinstance(number, int) for number in (*used, *known)) or not used or not known:
        return ''
    for step in (1, -1):
        if {number + step for number in used} <= set(known):
            return (
                f'they start at {min(used)} and the list starts at {min(known)}: add {step} to each'
            )
    return ''


def _first(file: CocoFile, mask: np.ndarray) -> tuple[str, int]:
    return file.name(int(np.flatnonzero(mask)[0])), int(mask.sum())


def _check_repeated(file: CocoFile, found: Findings) -> None:
    """Duplicate objects, as after merging a file with itself."""
    columns = [IMAGE, CATEGORY, X, Y, W, H, LEFT, TOP, RIGHT, BOTTOM]
    objects = np.nan_to_num(file.rows[:, columns])
    _, firsts = np.unique(objects, axis=0, return_index=True)
    again = np.ones(len(objects), bool)
    again[firsts] = False
    if again.sum() > MANY * len(objects):
        name, count = _first(file, again)
        found.add(
            f'of {len(objects)} annotations duplicate the image, category, bbox and mask of '
            'another; remove the copies',
            name,
            count,
        )


def _check_masks(
    file: CocoFile, sizes: np.ndarray, use: Use, found: Findings, notes: list[str]
) -> None:
    chosen = chosen_categories(file, use)
    wrong = Findings()
    for index, fault in file.wrong_masks.items():
        if file.rows[index, CATEGORY] in chosen:
            kind = f'masks are wrong: {fault}; fix it, or remove the annotation'
            wrong.add(kind, file.name(index))
    rows = file.rows
    is_rle = np.isin(rows[:, CATEGORY], list(chosen)) & (rows[:, IMAGE] >= 0)
    is_rle &= np.isfinite(rows[:, MASK_HEIGHT])
    places = np.flatnonzero(is_rle)
    size = sizes[rows[places, IMAGE].astype(int)]
    differs = (rows[places][:, [MASK_WIDTH, MASK_HEIGHT]] != size).any(1) & np.isfinite(size).all(1)
    for place in places[differs]:
        height, width = rows[place, [MASK_HEIGHT, MASK_WIDTH]]
        image = sizes[int(rows[place, IMAGE])]
        wrong.add(
            'masks are RLE of another size than the image; write the size as [height, width]',
            f'{file.name(place)}: {height:g} x {width:g}, not {image[1]:g} x {image[0]:g}',
        )
    count = sum(count for count, _ in wrong.values())
    if use.is_evaluated or count > FEW * len(rows):
        found.update(wrong)
    else:  # training replaces unreadable samples
        notes += [line(kind, *finding) for kind, finding in wrong.items()]


def _repair(file: CocoFile, use: Use, report: Report) -> None:
    """Report what the repaired copy will fix, as far as this use needs it."""
    rows = file.rows
    findings = Findings(file.repairs)
    if len(rows):
        box_area = rows[:, W] * rows[:, H]
        area = rows[:, AREA]
        has_box = (rows[:, W] >= 1) & (rows[:, H] >= 1)
        unknown = ~np.isfinite(area)
        if unknown.any():
            findings.add(
                'annotations have no area; it is computed from their masks or boxes',
                *_first(file, unknown),
            )
        empty = has_box & (area <= 0)
        if empty.sum() > MANY * len(rows):
            report.fills_area = True
            findings.add(
                'annotations have an area of 0 or less; it is computed from their masks or boxes',
                *_first(file, empty),
            )
            unknown |= empty
        rows[unknown, AREA] = box_area[unknown]
        _repair_ids(file, use, report, findings)
        no_crowd = np.isnan(rows[:, CROWD])
        rows[no_crowd, CROWD] = 0
        if use.is_evaluated and no_crowd.any():
            findings.add('annotations have no iscrowd; it is set to 0', *_first(file, no_crowd))
        if use.is_evaluated and use.with_masks:
            short = rows[:, MASK] == SHORT
            if short.any():
                findings.add(
                    'annotations only have polygons of odd or fewer than 6 numbers, which would '
                    'crash the evaluation; their boxes are ignored like crowds',
                    *_first(file, short),
                )
                rows[short, CROWD] = 1
            partly = rows[:, MASK] == PARTLY_SHORT
            if partly.any():
                findings.add(
                    'annotations have some polygons of odd or fewer than 6 numbers; these are '
                    'dropped',
                    *_first(file, partly),
                )
    report.repairs += [line(kind, *finding) for kind, finding in findings.items()]


def _repair_ids(file: CocoFile, use: Use, report: Report, findings: Findings) -> None:
    ids = file.rows[:, ID]
    wrong = ~np.isfinite(ids) | (np.floor(ids) != ids) | (np.abs(ids) > FAR)
    _, places, counts = np.unique(ids, return_inverse=True, return_counts=True)
    cases = [
        ('annotations have no integer id; all are renumbered', wrong),
        (
            'annotations share their id with others; all are renumbered',
            ~wrong & (counts[places.ravel()] > 1),
        ),
    ]
    if use.is_evaluated:
        cases.append(
            (
                'annotations have id 0, which COCO evaluation treats as unmatched; all are '
                'renumbered from 1',
                ids == 0,
            )
        )
    for kind, mask in cases:
        if mask.any():
            report.renumbers = True
            findings.add(kind, *_first(file, mask))
