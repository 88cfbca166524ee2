"""Detect boxes in other formats than x, y, width, height in pixels."""

from __future__ import annotations

import math

import numpy as np

from .coco_file import BOTTOM, ID, IMAGE, LEFT, MASK, SHORT, CocoFile, Findings, X
from .coco_report import MANY

SURE = 0.98  # of the boxes fit another format


def check_boxes(file: CocoFile, sizes: np.ndarray, found: Findings, notes: list[str]) -> None:
    """Add an error to `found` if the boxes fit another format, or a note if many overrun."""
    rows = _known(file.rows, sizes)
    if not len(rows):
        return
    x, y, w, h = rows[:, X : X + 4].T
    width, height = sizes[rows[:, IMAGE].astype(int)].T
    box = rows[:, X : X + 4]
    shown = file.keys  # of ids of images, for the message

    def report(kind: str, mask: np.ndarray, remedy: str) -> None:
        row = rows[np.flatnonzero(mask)[0]]
        sides = ', '.join(f'{side:g}' for side in row[X : X + 4])
        size = sizes[int(row[IMAGE])]
        name = 'an annotation' if math.isnan(row[ID]) else f'annotation {row[ID]:.0f}'
        found.add(
            f'of {len(rows)} boxes {kind}; {remedy}',
            f'{name} [{sides}] in image {shown[int(row[IMAGE])]!r} of {size[0]:g} x {size[1]:g}',
            int(mask.sum()),
        )

    in_unit = ((box >= 0) & (box <= 1)).all(1)
    if in_unit.mean() > MANY and (box[in_unit] % 1 != 0).any():
        report('lie within 0..1', in_unit, "write pixels: multiply by the image's width and height")
        return
    over = (x < -1) | (y < -1) | (x + w > width + 1) | (y + h > height + 1)
    corners = np.stack([x, y, w, h])
    centers = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    plain = np.stack([x, y, x + w, y + h])
    for name, (left, top, right, bottom), remedy in (
        ('x1, y1, x2, y2', corners, 'write x, y, width, height: subtract x1 from x2, y1 from y2'),
        (
            'center x, center y, width, height',
            centers,
            'write x, y, width, height: subtract half of the width and height from the center',
        ),
    ):
        fits = (left >= -1) & (top >= -1) & (right <= width + 1) & (bottom <= height + 1)
        fits &= (right > left) & (bottom > top)
        by_border = over.mean() > MANY and fits.mean() >= SURE
        if by_border or _is_by_masks(rows, plain, np.stack([left, top, right, bottom])):
            wrong = over if over.any() else fits
            report(f'overrun their image or miss their mask; they are {name}', wrong, remedy)
            return
    apart = _is_apart(rows, plain) & (x < width) & (y < height)
    if apart.sum() > MANY * np.isfinite(rows[:, LEFT]).sum():
        report('do not touch their mask', apart, 'write both in pixels of the image, x before y')
    elif over.mean() > MANY:
        notes.append(
            f'{over.sum()} of {len(rows)} boxes overrun their image by more than a pixel; boxes '
            'must be x, y, width, height in pixels'
        )


def _is_apart(rows: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N,): whether a box (x1, y1, x2, y2; 4, N) of at least a pixel does not touch its mask."""
    extents = rows[:, LEFT : BOTTOM + 1].T
    apart = ((extents[2:] < boxes[:2] - 1) | (extents[:2] > boxes[2:] + 1)).any(0)
    return apart & (boxes[2:] - boxes[:2] >= 1).all(0) & (rows[:, MASK] != SHORT)


def _is_by_masks(rows: np.ndarray, plain: np.ndarray, other: np.ndarray) -> bool:
    """Whether masks fit the boxes (x1, y1, x2, y2; 4, N) in another format but not as given."""
    extents = rows[:, LEFT : BOTTOM + 1].T
    known = np.isfinite(extents).all(0)
    if not known.any():
        return False
    slack = 2 + 0.05 * (extents[2:] - extents[:2]).max(0)
    shares = [(np.abs(boxes - extents).max(0) <= slack)[known].mean() for boxes in (plain, other)]
    return shares[0] < MANY and shares[1] > 1 - MANY


def _known(rows: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Annotations with a complete box in an image of known size."""
    rows = rows[(rows[:, IMAGE] >= 0) & np.isfinite(rows[:, X : X + 4]).all(1)]
    return rows[np.isfinite(sizes[rows[:, IMAGE].astype(int)]).all(1)]
