"""The page about a classifier: its numbers by hand, its order of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from swinv2_dense.reports.calibration import calibration
from swinv2_dense.reports.labels import LabelReporter

CLASSES = ('ant', 'bee', 'cat', 'dog', 'elk', 'fox', 'gnu')


class Samples:
    """A dataset of gray pictures."""

    metainfo = dict(classes=CLASSES)

    def __len__(self) -> int:
        return 6

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=f'/data/{index}.png')


class GrayReporter(LabelReporter):
    def picture(self, index: int) -> np.ndarray:
        return np.full((20, 30, 3), 40 * index, np.uint8)


def report() -> dict:
    """Blocks by title; samples 0, 1, 2 are right, 3 is second, 4 and 5 are last."""
    reporter = GrayReporter(Samples())
    records = []
    for index, (truth, first, confidence) in enumerate(
        [(0, 0, 0.9), (1, 1, 0.5), (2, 2, 0.7), (0, 1, 0.6), (3, 2, 0.8), (3, 2, 0.4)]
    ):
        scores = torch.full((7,), 0.01)
        scores[first] = confidence
        if index == 3:
            scores[truth] = 0.2
        elif truth != first:
            scores[truth] = 0.0
        sample = dict(
            img_path=f'/data/{index}.png', gt_label=torch.tensor([truth]), pred_score=scores
        )
        records.append(reporter.record(sample))
    return {block.title: block for block in reporter.blocks(records)}


def test_numbers():
    values = {item['name']: item['value'] for item in report()['Accuracy'].items}
    assert values['Top-1 accuracy'] == pytest.approx(3 / 6)
    assert values['Top-5 accuracy'] == pytest.approx(4 / 6)
    assert values['Mean class accuracy'] == pytest.approx((1 / 2 + 1 + 1 + 0) / 4)


def test_classes_and_confusion():
    blocks = report()
    rows = {row[0]: row[1:] for row in blocks['Classes'].rows}
    assert rows['ant'] == [2, 0.5, 1.0, pytest.approx(2 / 3)]
    assert rows['cat'] == [1, 1.0, pytest.approx(1 / 3), 0.5]
    assert rows['dog'] == [2, 0.0, None, 0.0]
    assert rows['fox'] == [0, None, None, None]
    assert blocks['Most frequent confusions'].rows[0] == ['dog', 'cat', 2, 1.0]


def test_most_confident_mistakes_come_first():
    items = report()['Mistakes'].items
    assert [item.caption for item in items] == [
        '4.png', '3.png', '5.png', '1.png', '2.png', '0.png',
    ]  # fmt: skip
    assert items[0].findings == [('dog', 'wrong'), ('cat', 'wrong')]
    assert items[1].findings[0] == ('ant', 'wrong, right in the top 5')
    assert items[3].findings == []


def test_expected_calibration_error():
    rng = np.random.default_rng(0)
    scores, correct = rng.random(500), rng.random(500) < 0.5
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = [k for k, s in enumerate(scores) if low <= s < low + 0.1]
        gap = abs(np.mean(scores[inside]) - np.mean(correct[inside]))
        expected += len(inside) / 500 * gap
    assert f'error {expected:.3f}.' in calibration(scores, correct).note
