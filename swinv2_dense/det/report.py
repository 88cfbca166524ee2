"""The page about a test of a detector."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmengine.fileio import get_local_path

from ..drawing.palette import class_colors
from ..errors import ConfigError
from ..reports.calibration import reliability
from ..reports.confusion import confusion_blocks
from ..reports.page import Bars, Gallery, Item, Lines, Numbers, Panel, Shape, Table
from ..reports.reporter import MOST_PICTURES, Reporter
from ..reports.thumbnails import edge_for, thumbnail
from .coco_evaluation import CocoEvaluation
from .object_errors import KINDS, by_image, kinds_of_errors
from .outlines import outlines

NAMES = {'bbox': 'Box', 'segm': 'Mask'}
GAINS = {  # hotcoco's names
    'classification': ('Cls', 'right place, wrong class'),
    'localization': ('Loc', 'right class, IoU with the object from 0.1 to 0.5'),
    'both': ('Both', 'wrong class, and IoU from 0.1 to 0.5'),
    'duplicate': ('Dupe', 'another detection of the object has a higher score'),
    'background': ('Bkg', 'IoU with every object below 0.1'),
    'missed': ('Miss', 'no detection, and no error above explains it'),
}


class DetectionReporter(Reporter):
    """AP, curves, errors and pictures of a test on a COCO dataset; IoU 0.5 unless stated.

    Raises:
        ConfigError: The dataset has no COCO annotations.
    """

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        if not isinstance(self.dataset, BaseDetDataset) or not hasattr(self.dataset, 'cat2label'):
            raise ConfigError(
                f'a report needs a dataset with COCO annotations, not a {type(dataset).__name__}'
            )
        self.classes = list(self.dataset.metainfo['classes'])
        self.colors = [
            f'rgb({r} {g} {b})'
            for r, g, b in class_colors(len(self.classes), self.dataset.metainfo.get('palette'))
        ]
        self.labels = dict(self.dataset.cat2label)
        self.category = {label: category for category, label in self.labels.items()}

    def record(self, sample: Mapping) -> dict:
        """`img_id`, `img_path`, and `detections` as COCO results."""
        predicted = sample['pred_instances']
        boxes = np.asarray(predicted['bboxes'], np.float64).reshape(-1, 4)
        sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        scores = np.asarray(predicted['scores'], np.float64)
        detections = [
            dict(
                image_id=int(sample['img_id']),
                category_id=self.category[int(label)],
                bbox=box.tolist(),
                score=float(score),
            )
            for box, score, label in zip(sizes, scores, np.asarray(predicted['labels']))
        ]
        if 'masks' in predicted:
            for detection, mask in zip(detections, predicted['masks']):
                detection['segmentation'] = _encoded(mask)
        return dict(
            img_id=int(sample['img_id']), img_path=str(sample['img_path']), detections=detections
        )

    def blocks(self, records: Sequence[Mapping]) -> list[Any]:
        records = list({record['img_id']: record for record in records}.values())
        truth = self._truth({record['img_id'] for record in records})
        detections = [item for record in records for item in record['detections']]
        kinds = ['bbox']
        if detections and all('segmentation' in item for item in detections):
            kinds.append('segm')
        runs = {kind: CocoEvaluation(truth, detections, kind) for kind in kinds}
        boxes = runs['bbox']
        curves = boxes.curves()
        everything = boxes.overall_curve()
        threshold = _best(everything)[0] if everything else 0.5
        errors = boxes.errors()
        return [
            _numbers(runs),
            self._classes(runs, curves, truth),
            _precision_recall(everything, curves, self.classes),
            _f1(everything, curves, self.classes),
            *confusion_blocks(*boxes.confusion(threshold)),
            _errors(errors),
            _calibration(boxes.calibration()),
            self._gallery(records, truth, threshold),
        ]

    def _truth(self, images: set[int]) -> dict:
        """The annotations of some images and of the classes of the dataset."""
        backend = self.dataset.backend_args
        with get_local_path(self.dataset.ann_file, backend_args=backend) as file:
            given = json.loads(Path(file).read_text(encoding='utf-8'))
        annotations = []
        for annotation in given['annotations']:
            if annotation['image_id'] in images and annotation['category_id'] in self.labels:
                annotations.append(annotation)
        return dict(
            images=[image for image in given['images'] if image['id'] in images],
            annotations=annotations,
            categories=[
                dict(id=category, name=self.classes[label])
                for category, label in sorted(self.labels.items(), key=lambda pair: pair[1])
            ],
        )

    def _classes(
        self, runs: Mapping[str, CocoEvaluation], curves: Sequence[Sequence], truth: Mapping
    ) -> Table:
        columns = [dict(name='Class', kind='text'), _column('Objects', digits=0)]
        for kind in runs:
            columns += [_column(f'{NAMES[kind]} AP', 'bar'), _column('AP50', 'bar')]
        columns += [_column(f'AP {size}', 'bar') for size in ('small', 'medium', 'large')]
        columns += [
            _column('Best threshold', digits=2), _column('F1', 'bar'),
            _column('Precision', 'bar'), _column('Recall', 'bar'),
        ]  # fmt: skip
        counts = Counter(
            self.labels[item['category_id']]
            for item in truth['annotations']
            if not item.get('iscrowd')
        )
        rows: list[list] = []
        for label, name in enumerate(self.classes):
            row: list = [name, counts[label]]
            for run in runs.values():
                row += [run.class_ap(label), run.class_ap(label, iou=0.5)]
            row += [runs['bbox'].class_ap(label, size) for size in ('small', 'medium', 'large')]
            best = _best(curves[label]) if curves[label] else (None,) * 4
            rows.append([*row, best[0], best[3], best[1], best[2]])
        return Table(
            'Classes',
            columns,
            rows,
            'Columns after AP50 are about boxes. The best threshold is the score with the highest '
            'F1; precision and recall are those at this threshold.',
        )

    def _gallery(self, records: Sequence[Mapping], truth: Mapping, threshold: float) -> Gallery:
        """The images with most mistakes among detections above the threshold."""
        objects = by_image(truth['annotations'])
        judged = []
        for record in records:
            found = sorted(record['detections'], key=lambda item: -item['score'])
            found = [item for item in found if item['score'] >= min(threshold, 0.05)]
            above = sum(item['score'] >= threshold for item in found)
            kinds, missed = kinds_of_errors(objects[record['img_id']], found[:above])
            low, _ = kinds_of_errors(objects[record['img_id']], found)
            mistakes = sum(kind in KINDS for kind in [*kinds, *missed])
            judged.append((mistakes, record, found, [*kinds, *low[above:]], missed))
        judged.sort(key=lambda entry: -entry[0])
        edge = edge_for(min(len(judged), MOST_PICTURES))
        items = [
            self._item(record, found, kinds, objects[record['img_id']], missed, threshold, edge)
            for _, record, found, kinds, missed in judged[:MOST_PICTURES]
        ]
        note = (
            f'Images with most mistakes first; dashed objects are mistakes. Filters and counts use '
            f'detections with scores from {threshold:.2f}, the threshold with the highest F1.'
        )
        if len(judged) > MOST_PICTURES:
            note += f' The {MOST_PICTURES} worst of {len(judged)} images are shown.'
        return Gallery('Images', items, self.classes, list(KINDS), round(threshold, 2), note)

    def _item(
        self, record: Mapping, found: Sequence[Mapping], kinds: Sequence[str],
        objects: Sequence[Mapping], missed: Sequence[str], threshold: float, edge: int,
    ) -> Item:  # fmt: skip
        image = self.image(record['img_path'])
        height, width = image.shape[:2]
        truth = [self._shape(item, lost, width / edge) for item, lost in zip(objects, missed)]
        shapes = [self._shape(item, kind, width / edge) for item, kind in zip(found, kinds)]
        findings = [
            (self.classes[self.labels[item['category_id']]], kind)
            for item, kind in [*zip(found, kinds), *zip(objects, missed)]
            if kind in KINDS and item.get('score', 1.0) >= threshold
        ]
        counts = Counter(kind for _, kind in findings)
        summary = ', '.join(f'{counts[kind]} {kind}' for kind in KINDS if counts[kind])
        return Item(
            thumbnail(image, edge), width, height, Path(record['img_path']).name,
            [Panel('Ground truth', shapes=truth), Panel('Prediction', shapes=shapes)],
            [summary or 'no mistakes'], findings,
        )  # fmt: skip

    def _shape(self, item: Mapping, kind: str, tolerance: float) -> Shape:
        label = self.labels[item['category_id']]
        lines = [self.classes[label]]
        if 'score' in item:
            lines.append(f'score {item["score"]:.2f}')
        if item.get('iscrowd'):
            lines.append('crowd')
        if kind:
            lines.append(kind)
        return Shape(
            [round(value, 1) for value in item['bbox']],
            self.colors[label],
            '\n'.join(lines),
            item.get('score'),
            kind in KINDS,
            [
                [round(value, 1) for point in part for value in point]
                for part in outlines(item.get('segmentation'), tolerance)
            ],
        )


def _encoded(mask: Any) -> dict:
    """A compressed RLE, whose counts are text, of a mask (H, W) or an RLE."""
    from pycocotools import mask as coco_mask

    if not isinstance(mask, Mapping):
        mask = coco_mask.encode(np.asfortranarray(np.asarray(mask), np.uint8))
    counts = mask['counts']
    return dict(
        size=[int(side) for side in mask['size']],
        counts=counts.decode() if isinstance(counts, bytes) else counts,
    )


def _column(name: str, kind: str = 'number', digits: int = 3) -> dict:
    return dict(name=name, kind=kind, digits=digits)


def _best(curve: Sequence[tuple]) -> tuple:
    """The point (threshold, precision, recall, F1) with the highest F1."""
    return max(curve, key=lambda point: point[3])


def _numbers(runs: Mapping[str, CocoEvaluation]) -> Numbers:
    return Numbers(
        'Average precision',
        [
            dict(name=f'{NAMES[kind]} {name}', value=value, digits=3)
            for kind, run in runs.items()
            for name, value in run.metrics().items()
        ],
    )


def _axis(name: str) -> dict:
    return dict(name=name, min=0.0, max=1.0)


def _series(everything: Sequence, curves: Sequence, classes: Sequence[str]) -> Iterator[tuple]:
    yield 'all classes', everything
    yield from ((name, curve) for name, curve in zip(classes, curves) if curve)


def _precision_recall(everything: Sequence, curves: Sequence, classes: Sequence[str]) -> Lines:
    series = [
        dict(name=name, points=[[r, p] for _, p, r, _ in _thinned(curve)])
        for name, curve in _series(everything, curves, classes)
    ]
    return Lines('Precision and recall', _axis('Recall'), _axis('Precision'), series)


def _f1(everything: Sequence, curves: Sequence, classes: Sequence[str]) -> Lines:
    series = []
    for name, curve in _series(everything, curves, classes):
        points = [[score, f1] for score, _, _, f1 in _thinned(curve)[::-1]]
        mark = [_best(curve)[0], _best(curve)[3]] if curve else None
        series.append(dict(name=name, points=points, mark=mark))
    return Lines(
        'F1 by score threshold', _axis('Threshold'), _axis('F1'), series,
        note='A dot marks the best threshold.',
    )  # fmt: skip


def _thinned(curve: Sequence[tuple], most: int = 200) -> list[tuple]:
    """At most `most` points of a curve, with both ends."""
    if len(curve) <= most:
        return list(curve)
    return [curve[index] for index in np.linspace(0, len(curve) - 1, most).round().astype(int)]


def _errors(errors: Mapping) -> Bars:
    items = []
    for kind, (key, meaning) in GAINS.items():
        count = errors['counts'][key]
        items.append(
            dict(name=kind, value=errors['delta_ap'][key], note=f'{count:,} times: {meaning}')
        )
    return Bars(
        'What fixing each kind of error would gain',
        items,
        note=f'In box AP50, which is {errors["ap_base"]:.3f} (TIDE, arXiv 2008.08115). Gains do '
        'not add up.',
    )


def _calibration(result: Mapping) -> Lines:
    bins = [bin for bin in result['bins'] if bin['count']]
    points = [[bin['avg_confidence'], bin['avg_accuracy']] for bin in bins]
    return reliability(points, result['ece'], 'Part that is correct')
