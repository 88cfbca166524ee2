"""The page about a test of a classifier of images or videos."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..drawing.visualizer import file_of
from .calibration import calibration
from .confusion import confusion_blocks
from .page import Gallery, Item, Numbers, Panel, Table
from .reporter import MOST_PICTURES, Reporter
from .thumbnails import edge_for, thumbnail

MISTAKES = ('wrong, right in the top 5', 'wrong')


class LabelReporter(Reporter):
    """Accuracy, confusion, calibration and the most confident mistakes; one label per sample."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        self.names = list(map(str, self.dataset.metainfo.get('classes') or ()))

    @abstractmethod
    def picture(self, index: int) -> np.ndarray:
        """A picture (H, W, 3) in RGB of a sample of the dataset."""

    def record(self, sample: Mapping) -> dict:
        """`file`, `truth`, the five best `labels` with `scores`, `rank` of the truth, `classes`."""
        scores = np.asarray(sample['pred_score'], np.float64).reshape(-1)
        truth = int(np.asarray(sample['gt_label']).reshape(-1)[0])
        best = np.argsort(-scores, kind='stable')[:5]
        return dict(
            file=file_of(sample),
            truth=truth,
            labels=best.tolist(),
            scores=scores[best].tolist(),
            rank=int((scores > scores[truth]).sum()),
            classes=len(scores),
        )

    def blocks(self, records: Sequence[Mapping]) -> list[Any]:
        count = max(record['classes'] for record in records)
        names = [self.names[i] if i < len(self.names) else f'class {i}' for i in range(count)]
        matrix = np.zeros((count, count), int)
        for record in records:
            matrix[record['truth'], record['labels'][0]] += 1
        return [
            _numbers(records, matrix),
            _classes(names, matrix),
            *confusion_blocks(names, matrix.tolist(), {}),
            calibration(
                np.array([record['scores'][0] for record in records]),
                np.array([record['labels'][0] == record['truth'] for record in records]),
            ),
            self._gallery(records, names),
        ]

    def _gallery(self, records: Sequence[Mapping], names: Sequence[str]) -> Gallery:
        wrong = [record for record in records if record['labels'][0] != record['truth']]
        wrong.sort(key=lambda record: -record['scores'][0])
        right = [record for record in records if record['labels'][0] == record['truth']]
        right.sort(key=lambda record: record['scores'][0])
        chosen = [*wrong, *right][:MOST_PICTURES]
        infos = (self.dataset.get_data_info(index) for index in range(len(self.dataset)))
        places = {file_of(info): index for index, info in enumerate(infos)}
        edge = edge_for(len(chosen))
        items = [
            self._item(record, names, places[record['file']], edge)
            for record in chosen
            if record['file'] in places
        ]
        return Gallery(
            'Mistakes', items, list(names), list(MISTAKES),
            note=f'{len(wrong):,} of {len(records):,} are wrong. The most confident mistakes come '
            'first, then the least confident right ones.',
        )  # fmt: skip

    def _item(self, record: Mapping, names: Sequence[str], place: int, edge: int) -> Item:
        picture = self.picture(place)
        truth, first = record['truth'], record['labels'][0]
        findings = []
        if first != truth:
            kind = MISTAKES[0] if record['rank'] < 5 else MISTAKES[1]
            findings = [(names[truth], kind), (names[first], kind)]
        guesses = [
            f'{names[label]} {score:.2f}'
            for label, score in zip(record['labels'], record['scores'])
        ]
        height, width = picture.shape[:2]
        return Item(
            thumbnail(picture, edge), width, height, Path(record['file']).name,
            [Panel('right' if first == truth else 'wrong')],
            [f'Truth: {names[truth]}', f'Prediction: {", ".join(guesses)}'], findings,
        )  # fmt: skip


def _numbers(records: Sequence[Mapping], matrix: np.ndarray) -> Numbers:
    top1, top5 = (np.mean([record['rank'] < k for record in records]) for k in (1, 5))
    present = matrix.sum(axis=1) > 0
    recall = np.diag(matrix)[present] / matrix.sum(axis=1)[present]
    items = [dict(name='Top-1 accuracy', value=float(top1), digits=3)]
    if len(matrix) > 5:
        items.append(dict(name='Top-5 accuracy', value=float(top5), digits=3))
    items.append(dict(name='Mean class accuracy', value=float(recall.mean()), digits=3))
    return Numbers('Accuracy', items)


def _classes(names: Sequence[str], matrix: np.ndarray) -> Table:
    columns = [dict(name='Class', kind='text'), dict(name='Samples', kind='number', digits=0)]
    columns += [
        dict(name=name, kind='bar', digits=3) for name in ('Recall', 'Precision', 'F1')
    ]  # recall is the accuracy of a class
    rows = []
    for name, row, column, right in zip(names, matrix, matrix.T, np.diag(matrix)):
        parts = [right / whole if whole else None for whole in (row.sum(), column.sum())]
        f1 = 2 * right / (row.sum() + column.sum()) if row.sum() + column.sum() else None
        rows.append([name, int(row.sum()), *map(_float, [*parts, f1])])
    return Table('Classes', columns, rows, 'Recall is the accuracy of a class.')


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
