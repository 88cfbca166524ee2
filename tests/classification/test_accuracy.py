"""Accuracies against mmaction2's, and what is printed and written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

import swinv2_dense  # noqa: F401  patches mmaction2's import
from swinv2_dense.classification import (
    ClassificationAccuracy,
    ClassificationSample,
    PredictionTable,
)

NAMES = ('apple', 'banana', 'cherry', 'date', 'elder', 'fig', 'grape')


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file of the current logger."""
    MMLogger.get_instance(f'accuracy {tmp_path.name}', log_file=str(tmp_path / 'log'))
    return tmp_path / 'log'


def predicted(scores: np.ndarray, labels: list[int] | None) -> list[dict]:
    samples = []
    for i, row in enumerate(scores):
        sample = ClassificationSample(metainfo=dict(img_path=f'{i}.jpg'))
        sample.set_scores(torch.from_numpy(row))
        samples.append((sample.set_label(labels[i]) if labels else sample).to_dict())
    return samples


def measured(metric: ClassificationAccuracy, samples: list[dict], names: tuple = NAMES) -> dict:
    metric.dataset_meta = dict(classes=names)
    for start in range(0, len(samples), 4):
        metric.process(None, samples[start : start + 4])
    return metric.evaluate(len(samples))


def test_they_are_those_of_mmaction2():
    functional = pytest.importorskip('mmaction.evaluation.functional.accuracy')
    rng = np.random.default_rng(0)
    scores = rng.random((50, 7)).astype(np.float32)
    labels = rng.integers(0, 7, 50).tolist()
    found = measured(ClassificationAccuracy(topk=(1, 2, 5)), predicted(scores, labels))
    top = functional.top_k_accuracy(list(scores), labels, (1, 2, 5))
    mean = functional.mean_class_accuracy(list(scores), labels)
    expected = {'acc/top1': top[0], 'acc/top2': top[1], 'acc/top5': top[2], 'acc/mean1': mean}
    assert found == pytest.approx(expected)


def test_a_class_without_images_is_not_in_the_mean():
    scores = np.eye(7, dtype=np.float32)[[0, 0, 3, 6]]
    found = measured(ClassificationAccuracy(), predicted(scores, [0, 0, 3, 1]))
    assert found == pytest.approx({'acc/top1': 0.75, 'acc/top5': 1.0, 'acc/mean1': 2 / 3})


def test_equal_scores_count_for_the_first_class_only():
    """A model that says nothing is right for class 0 alone, as its predicted label is 0."""
    scores = np.full((2, 7), 1 / 7, np.float32)
    found = measured(ClassificationAccuracy(topk=(1, 2)), predicted(scores, [0, 1]))
    assert (found['acc/top1'], found['acc/top2']) == (0.5, 1.0)


@pytest.mark.parametrize(('count', 'keys'), [(5, {'top1'}), (6, {'top1', 'top5'}), (2, {'top1'})])
def test_an_accuracy_that_is_always_one_is_left_out(count, keys, log):
    metric, scores = ClassificationAccuracy(), np.eye(count, dtype=np.float32)
    for _ in range(2):
        found = measured(metric, predicted(scores, list(range(count))), NAMES[:count])
    assert set(found) == {f'acc/{key}' for key in (*keys, 'mean1')}
    said = log.read_text().count('top-5 accuracy is not reported')
    assert said == ('top5' not in keys)


def test_the_table_of_classes(log):
    scores = np.eye(7, dtype=np.float32)[[0, 2, 2, 1, 5]]
    measured(ClassificationAccuracy(classwise=True), predicted(scores, [0, 0, 0, 1, 1]))
    lines = log.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith('class'))
    assert [line.split() for line in lines[start : start + 3]] == [
        ['class', 'images', 'top-1', 'mistaken', 'most', 'for'],
        ['apple', '3', '0.333', 'cherry', '(2)'],
        ['banana', '2', '0.500', 'fig', '(1)'],
    ]


def test_images_without_labels_have_no_accuracy(log):
    assert measured(ClassificationAccuracy(), predicted(np.eye(7, dtype=np.float32), None)) == {}
    assert 'The images have no labels, so there is no accuracy' in log.read_text()


def test_predictions_are_written_as_a_table(tmp_path: Path):
    scores = np.array([[0.1, 0.2, 0.4, 0.05, 0.15, 0.06, 0.04]] * 2, np.float32)
    samples = predicted(scores[:1], [1]) + predicted(scores[1:], None)
    metric = PredictionTable(str(tmp_path / 'new' / 'folder'))
    metric.dataset_meta = dict(classes=('a', 'b', 'c,d', 'e', '木', 'g', 'h'))
    metric.process(None, samples)
    assert metric.evaluate(2) == {}
    with open(tmp_path / 'new' / 'folder' / 'predictions.csv', encoding='utf-8') as file:
        header, *rows = csv.reader(file)
    assert header[:4] == ['file', 'truth', 'class_1', 'score_1'] and len(header) == 12
    best = ['c,d', '0.400000', 'b', '0.200000', '木', '0.150000', 'a', '0.100000', 'g', '0.060000']
    assert rows == [['0.jpg', 'b', *best], ['0.jpg', '', *best]]
