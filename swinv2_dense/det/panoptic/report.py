"""The page about a test of a panoptic model."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...drawing.palette import class_colors
from ...reports.page import Gallery, Item, Numbers, Panel, Table
from ...reports.reporter import MOST_PICTURES, Reporter
from ...reports.thumbnails import LONG_EDGE, Thumbnail, edge_for, map_thumbnail, thumbnail
from .quality import groups_of, panoptic_quality
from .truth import PanopticTruth

MISTAKES = ('missed', 'false')
WHITE = (255, 255, 255)


class PanopticReporter(Reporter):
    """Panoptic quality by class, and images with the lowest quality."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        self.classes = list(map(str, self.dataset.metainfo['classes']))
        colors = class_colors(len(self.classes), self.dataset.metainfo.get('palette'))
        self.palette = np.vstack([colors, WHITE]).astype(np.uint8)  # white for outlines
        self.truth = PanopticTruth(
            self.dataset.ann_file, self.dataset.data_prefix['seg'], self.dataset.backend_args
        )

    def record(self, sample: Mapping) -> dict:
        """`img_path`, the nonzero `counts` of matches by label, and small `truth`, `prediction`."""
        compared = self.truth.compare(sample, self.classes)
        true_labels = {key: segment.label for key, segment in compared.true_segments.items()}
        return dict(
            img_id=int(sample['img_id']),
            img_path=str(sample['img_path']),
            counts=[
                [int(label), *map(float, compared.counts[label])]
                for label in np.flatnonzero(compared.counts.any(axis=1))
            ],
            truth=self._small(compared.truth, true_labels),
            prediction=self._small(compared.found, compared.found_segments),
        )

    def blocks(self, records: Sequence[Mapping]) -> list[Any]:
        records = list({record['img_id']: record for record in records}.values())
        counts = np.sum([self._dense(record) for record in records], axis=0)
        things = self.truth.things(self.classes)
        names = ('', ' of things', ' of stuff')
        scores = [panoptic_quality(counts, labels) for labels in groups_of(things)]
        numbers = [
            dict(name=f'{kind.upper()}{name}', value=_known(score, kind), digits=3)
            for name, score in zip(names, scores)
            for kind in ('pq', 'sq', 'rq')
        ]
        return [
            Numbers('Panoptic quality', numbers),
            self._classes(counts, things),
            self._gallery(records),
        ]

    def _classes(self, counts: np.ndarray, things: Mapping[int, bool]) -> Table:
        columns = [dict(name='Class', kind='text'), dict(name='Kind', kind='text')]
        columns += [dict(name=name, kind='bar', digits=3) for name in ('PQ', 'SQ', 'RQ')]
        columns += [
            dict(name=name, kind='number', digits=0) for name in ('Matched', 'False', 'Missed')
        ]
        rows = []
        for label, is_thing in things.items():
            score = panoptic_quality(counts, [label])
            values = [_known(score, kind) for kind in ('pq', 'sq', 'rq')]
            kind = 'thing' if is_thing else 'stuff'
            rows.append([self.classes[label], kind, *values, *map(int, counts[label, 1:])])
        note = (
            'PQ = SQ x RQ (arXiv 1801.00868). Segments match above an IoU of 0.5; SQ is the mean '
            'IoU of those that do, RQ the F1 of matching. False and missed segments match nothing.'
        )
        return Table('Classes', columns, rows, note)

    def _gallery(self, records: Sequence[Mapping]) -> Gallery:
        labels = range(len(self.classes))
        judged = [
            (panoptic_quality(counts, labels).pq if counts.any() else 1.0, record, counts)
            for record in records
            for counts in [self._dense(record)]
        ]
        judged.sort(key=lambda entry: entry[0])
        edge = edge_for(min(len(judged), MOST_PICTURES))
        items = [self._item(*entry, edge) for entry in judged[:MOST_PICTURES]]
        return Gallery(
            'Images', items, self.classes, list(MISTAKES),
            note='Lowest PQ of the image first. Segments in the colors of their classes, outlined '
            'in white.',
        )  # fmt: skip

    def _item(self, quality: float, record: Mapping, counts: np.ndarray, edge: int) -> Item:
        image = self.image(record['img_path'])
        height, width = image.shape[:2]
        findings, lines = [], [f'PQ {quality:.3f}']
        for label in np.flatnonzero(counts[:, 2:].any(axis=1)):
            for kind, number in zip(MISTAKES, counts[label, :1:-1]):
                if number:
                    findings.append((self.classes[label], kind))
                    lines.append(f'{self.classes[label]}: {number:.0f} {kind}')
        panels = [
            Panel(title, overlay=Thumbnail(base64.b64decode(record[key]), 'png'))
            for title, key in (('Ground truth', 'truth'), ('Prediction', 'prediction'))
        ]
        name = Path(record['img_path']).name
        return Item(thumbnail(image, edge), width, height, name, panels, lines, findings)

    def _small(self, ids: np.ndarray, labels: Mapping[int, int]) -> str:
        """Base64 of a PNG of the segments in the colors of their classes, with outlines."""
        scale = min(1.0, LONG_EDGE / max(ids.shape))
        size = [max(1, round(side * scale)) for side in ids.shape[::-1]]
        small = cv2.resize(ids.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)
        colored = np.full(small.shape, len(self.palette))  # transparent
        for segment, label in labels.items():
            colored[small == segment] = label
        outline = np.zeros(small.shape, bool)
        outline[:, 1:] |= small[:, 1:] != small[:, :-1]
        outline[1:] |= small[1:] != small[:-1]
        colored[outline] = len(self.classes)
        return base64.b64encode(map_thumbnail(colored, self.palette, LONG_EDGE).content).decode()

    def _dense(self, record: Mapping) -> np.ndarray:
        counts = np.zeros((len(self.classes), 4))
        for label, *values in record['counts']:
            counts[label] = values
        return counts


def _known(score: Any, kind: str) -> float | None:
    """None where none of the classes occurs."""
    return getattr(score, kind) if score.num_classes else None
