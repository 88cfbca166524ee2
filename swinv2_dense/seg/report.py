"""The page about a test of a segmentor."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..drawing.palette import class_colors
from ..errors import ConfigError
from ..reports.confusion import confusion_blocks
from ..reports.page import Gallery, Item, Numbers, Panel, Table
from ..reports.reporter import MOST_PICTURES, Reporter
from ..reports.thumbnails import LONG_EDGE, Thumbnail, edge_for, map_thumbnail, thumbnail

BOUNDARY = 0.02  # width of boundaries as a part of the diagonal of the image
MISTAKES = ('mostly missed', 'mostly false')


class SegmentationReporter(Reporter):
    """IoU, boundary IoU, confusion and the worst images of a test."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        self.classes = list(map(str, self.dataset.metainfo['classes']))
        self.colors = class_colors(len(self.classes), self.dataset.metainfo.get('palette'))
        self.ignored = getattr(self.dataset, 'ignore_index', 255)

    def record(self, sample: Mapping) -> dict:
        """`img_path`, the nonzero `confusion`, `boundary` counts, and small `truth`, `prediction`.

        Raises:
            ConfigError: The test pipeline does not load label maps.
        """
        if 'gt_sem_seg' not in sample:
            raise ConfigError('a report needs LoadAnnotations in the test pipeline')
        truth, predicted = (
            np.asarray(sample[key]['data']).reshape(np.asarray(sample[key]['data']).shape[-2:])
            for key in ('gt_sem_seg', 'pred_sem_seg')
        )
        counts = confusion(truth, predicted, len(self.classes), self.ignored)
        where = np.argwhere(counts)
        return dict(
            img_path=str(sample['img_path']),
            confusion=[[int(t), int(p), int(counts[t, p])] for t, p in where],
            boundary=boundary_counts(truth, predicted, self.ignored),
            truth=self._small(truth),
            prediction=self._small(predicted),
        )

    def blocks(self, records: Sequence[Mapping]) -> list[Any]:
        count = len(self.classes)
        matrix = np.zeros((count, count), np.int64)
        boundary = np.zeros((count, 2), np.int64)
        for record in records:
            matrix += _dense(record['confusion'], count)
            for label, both, either in record['boundary']:
                boundary[label] += both, either
        with np.errstate(invalid='ignore'):  # classes that do not occur
            edges = boundary[:, 0] / boundary[:, 1]
            iou, recall, precision = _scores(matrix)
            accuracy = np.trace(matrix) / matrix.sum()
        headline = [('mIoU', iou), ('Mean accuracy', recall), ('Mean boundary IoU', edges)]
        numbers = [dict(name='Pixel accuracy', value=_number(accuracy), digits=3)]
        numbers[:0] = [dict(name=n, value=_number(np.nanmean(v)), digits=3) for n, v in headline]
        part = matrix.sum(axis=1) / max(matrix.sum(), 1)
        rows = [
            [name, *map(_number, values)]
            for name, *values in zip(self.classes, part, iou, recall, precision, edges)
        ]
        titles = ('Part of pixels', 'IoU', 'Recall', 'Precision', 'Boundary IoU')
        columns = [dict(name='Class', kind='text')]
        columns += [dict(name=title, kind='bar', digits=3) for title in titles]
        note = (
            'Recall is the accuracy of a class. Boundary IoU (Cheng et al., arXiv 2103.16562) '
            f'counts only pixels within {BOUNDARY:.0%} of the diagonal of an outline, here summed '
            'over all images.'
        )
        return [
            Numbers('Results', numbers),
            Table('Classes', columns, rows, note),
            *confusion_blocks(self.classes, matrix.tolist(), dict(note='In pixels.')),
            self._gallery(records),
        ]

    def _small(self, labels: np.ndarray) -> str:
        return base64.b64encode(map_thumbnail(labels, self.colors, LONG_EDGE).content).decode()

    def _gallery(self, records: Sequence[Mapping]) -> Gallery:
        judged = []
        for record in records:
            with np.errstate(invalid='ignore'):
                iou, recall, precision = _scores(_dense(record['confusion'], len(self.classes)))
            mean = float(np.nanmean(iou)) if np.isfinite(iou).any() else 1.0
            judged.append((mean, record, recall, precision))
        judged.sort(key=lambda entry: entry[0])
        edge = edge_for(min(len(judged), MOST_PICTURES))
        items = [self._item(*entry, edge) for entry in judged[:MOST_PICTURES]]
        return Gallery(
            'Images', items, self.classes, list(MISTAKES),
            note='Lowest mIoU of the image first. Mostly missed: recall below 0.5. Mostly false: '
            'precision below 0.5.',
        )  # fmt: skip

    def _item(
        self, mean: float, record: Mapping, recall: np.ndarray, precision: np.ndarray, edge: int
    ) -> Item:
        image = self.image(record['img_path'])
        height, width = image.shape[:2]
        findings = [(self.classes[label], MISTAKES[0]) for label in np.flatnonzero(recall < 0.5)]
        findings += [(self.classes[i], MISTAKES[1]) for i in np.flatnonzero(precision < 0.5)]
        panels = [
            Panel(title, overlay=Thumbnail(base64.b64decode(record[key]), 'png'))
            for title, key in (('Ground truth', 'truth'), ('Prediction', 'prediction'))
        ]
        lines = [f'mIoU {mean:.3f}', *(f'{name}: {kind}' for name, kind in findings)]
        name = Path(record['img_path']).name
        return Item(thumbnail(image, edge), width, height, name, panels, lines, findings)


def confusion(truth: np.ndarray, predicted: np.ndarray, count: int, ignored: int) -> np.ndarray:
    """Pixels (count, count) by truth and prediction."""
    kept = (truth != ignored) & (truth < count) & (predicted < count)
    pairs = truth[kept].astype(np.int64) * count + predicted[kept]
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def boundary_counts(truth: np.ndarray, predicted: np.ndarray, ignored: int) -> list[list[int]]:
    """Lists of a label and the pixels on both, and on either, of its boundaries."""
    height, width = truth.shape
    distance = max(1, round(BOUNDARY * float(np.hypot(height, width))))
    kept = truth != ignored
    labels = np.union1d(np.unique(truth[kept]), np.unique(predicted[kept]))
    counts = []
    for label in labels:
        edges = [_boundary((part == label) & kept, distance) for part in (truth, predicted)]
        both, either = edges[0] & edges[1], edges[0] | edges[1]
        counts.append([int(label), int(both.sum()), int(either.sum())])
    return counts


def _boundary(mask: np.ndarray, distance: int) -> np.ndarray:
    """Pixels of a mask within a distance of its outline; the image border is an outline."""
    padded = np.pad(mask.astype(np.uint8), 1)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    return mask & (inner == 0)


def _scores(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IoU, recall and precision by class; NaN where a class does not occur."""
    right, truth, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    return right / (truth + predicted - right), right / truth, right / predicted


def _dense(entries: Sequence[Sequence[int]], count: int) -> np.ndarray:
    matrix = np.zeros((count, count), np.int64)
    for truth, predicted, pixels in entries:
        matrix[truth, predicted] = pixels
    return matrix


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
