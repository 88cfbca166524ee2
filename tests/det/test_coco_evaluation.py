"""The numbers on a page are those of pycocotools; errors are those of TIDE."""

from __future__ import annotations

import contextlib
import copy
import io
from collections import Counter

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from random_detections import random_detections

from swinv2_dense.det.coco_evaluation import CocoEvaluation
from swinv2_dense.det.object_errors import by_image, kinds_of_errors

TIDE = {
    'Cls': 'classification', 'Loc': 'localization', 'Both': 'both', 'Dupe': 'duplicate',
    'Bkg': 'background', 'Miss': 'missed',
}  # fmt: skip


def reference(truth: dict, results: list[dict], kind: str) -> COCOeval:
    """pycocotools, with the areas that mmdet uses for masks."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = copy.deepcopy(truth)
        known.createIndex()
        drop = 'bbox' if kind == 'segm' else 'segmentation'
        found = [{k: v for k, v in item.items() if k != drop} for item in results]
        run = COCOeval(known, known.loadRes(copy.deepcopy(found)), kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
@pytest.mark.parametrize('seed', range(3))
def test_all_numbers_equal_those_of_pycocotools(seed, kind):
    truth, results = random_detections(seed)
    expected = reference(truth, results, kind)
    ours = CocoEvaluation(truth, results, kind)
    numbers = [-1 if value is None else value for value in ours.metrics().values()]
    assert numbers == expected.stats.tolist()
    for label in range(3):
        for index, size in enumerate(['all', 'small', 'medium', 'large']):
            precision = expected.eval['precision'][:, :, label, index, -1]
            known = precision[precision > -1]
            assert ours.class_ap(label, size) == (known.mean() if known.size else None)
        at_half = expected.eval['precision'][0, :, label, 0, -1].mean()
        assert ours.class_ap(label, iou=0.5) == pytest.approx(at_half)


@pytest.mark.parametrize('seed', range(3))
def test_curves_equal_counts_at_every_threshold(seed):
    """A plain loop over thresholds: pycocotools matches what is left of the detections."""
    truth, results = random_detections(seed, images=6)
    for label, curve in enumerate(CocoEvaluation(truth, results, 'bbox').curves()):
        assert len(curve) > 2
        for threshold, precision, recall, f1 in curve:
            kept = [item for item in results if item['score'] >= threshold]
            images = [
                image
                for image in reference(truth, kept, 'bbox').evalImgs
                if image and image['category_id'] == 10 * label + 7 and image['aRng'][1] == 1e10
                and image['aRng'][0] == 0
            ]  # fmt: skip
            found = [
                matched > 0
                for image in images
                for matched, ignored in zip(image['dtMatches'][0], image['dtIgnore'][0])
                if not ignored
            ]
            objects = sum(int(np.sum(np.asarray(image['gtIgnore']) == 0)) for image in images)
            assert precision == pytest.approx(sum(found) / len(found))
            assert recall == pytest.approx(sum(found) / objects)
            assert f1 == pytest.approx(2 * sum(found) / (len(found) + objects))


@pytest.mark.parametrize('seed', range(5))
def test_kinds_of_errors_are_counted_as_by_tide(seed):
    truth, results = random_detections(seed)
    for item in truth['annotations']:
        item['iscrowd'] = 0  # TIDE ignores crowds in its own way
    expected = CocoEvaluation(truth, results, 'bbox').errors()['counts']
    found: Counter = Counter()
    objects, detections = by_image(truth['annotations']), by_image(results)
    for image in truth['images']:
        kinds, missed = kinds_of_errors(objects[image['id']], detections[image['id']])
        found.update(kinds + missed)
    assert {key: found[name] for key, name in TIDE.items()} == {key: expected[key] for key in TIDE}


def test_kinds_by_hand():
    def item(x, category, score=None):
        made = dict(bbox=[x, 0.0, 10.0, 10.0], category_id=category)
        return made if score is None else dict(made, score=score)

    truth = [item(0, 1), item(50, 1), item(100, 2), item(150, 1), dict(item(200, 1), iscrowd=1)]
    detections = [
        item(0, 1, 0.9),  # correct
        item(1, 1, 0.8),  # the same object again
        item(56, 1, 0.7),  # IoU 4/16
        item(101, 1, 0.6),  # IoU 9/11 with an object of class 2
        item(105, 1, 0.5),  # IoU 5/15 with it
        item(300, 1, 0.4),  # nothing there
        item(201, 1, 0.3),  # on a crowd
    ]
    kinds, missed = kinds_of_errors(truth, detections)
    assert kinds == [
        '', 'duplicate', 'localization', 'classification', 'both', 'background', 'ignored',
    ]  # fmt: skip
    # The second and third objects have an error of their own.
    assert missed == ['', '', '', 'missed', '']


def test_confusion_counts_every_object_and_every_detection_above_the_threshold():
    truth, results = random_detections(3)
    names, counts, _ = CocoEvaluation(truth, results, 'bbox').confusion(0.4)
    matrix = np.array(counts)
    assert names == ['kind 0', 'kind 1', 'kind 2', 'background']
    objects = Counter(item['category_id'] for item in truth['annotations'] if not item['iscrowd'])
    assert matrix[:3].sum(axis=1).tolist() == [objects[10 * label + 7] for label in range(3)]
