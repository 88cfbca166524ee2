"""`FastCocoMetric` gives the numbers of `CocoMetric`, which pycocotools computes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.evaluation.metrics import coco_metric
from mmengine.config import Config
from mmengine.registry import METRICS
from random_detections import random_detections

from swinv2_dense.checks.options import merge_options
from swinv2_dense.det import FastCocoMetric, separate_classwise_keys
from swinv2_dense.errors import ConfigError


def evaluated(kind: type, folder, seed: int, **settings: object) -> dict[str, float]:
    """The metrics of random detections of boxes and masks."""
    truth, results = random_detections(seed)
    file = folder / f'{seed}.json'
    file.write_text(json.dumps(truth))
    metric = kind(ann_file=str(file), metric=['bbox', 'segm'], **settings)
    metric.dataset_meta = dict(classes=[entry['name'] for entry in truth['categories']])
    labels = {entry['id']: label for label, entry in enumerate(truth['categories'])}
    for image in truth['images']:
        found = [entry for entry in results if entry['image_id'] == image['id']]
        boxes = torch.tensor([entry['bbox'] for entry in found], dtype=torch.double).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = dict(
            bboxes=boxes,
            scores=torch.tensor([entry['score'] for entry in found]),
            labels=torch.tensor([labels[entry['category_id']] for entry in found]),
            masks=[entry['segmentation'] for entry in found],
        )
        sample = dict(img_id=image['id'], ori_shape=(160, 200), pred_instances=instances)
        metric.process({}, [sample])
    return metric.evaluate(len(truth['images']))


ITEMS = [
    *('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l'),
    *('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000'),
]


@pytest.mark.parametrize('seed', range(3))
def test_all_numbers_equal_those_of_pycocotools(seed, tmp_path):
    pytest.importorskip('faster_coco_eval')
    expected = evaluated(CocoMetric, tmp_path, seed, metric_items=ITEMS)
    assert len(expected) >= 24 and max(expected.values()) > 0.1
    assert evaluated(FastCocoMetric, tmp_path, seed, metric_items=ITEMS) == expected
    assert coco_metric.COCOeval.__module__ == 'pycocotools.cocoeval'


def test_it_lists_classes_too(tmp_path):
    pytest.importorskip('faster_coco_eval')
    line = {'test_evaluator.type': 'FastCocoMetric'}
    cfg = Config(dict(test_evaluator=dict(type='CocoMetric', classwise=True)))
    merge_options(cfg, line)
    separate_classwise_keys(cfg)
    assert METRICS.get(f'mmdet.{cfg.test_evaluator.type}') is FastCocoMetric
    found = evaluated(FastCocoMetric, tmp_path, 0, classwise=True)
    plain = evaluated(CocoMetric, tmp_path, 0)
    assert {key: found[key] for key in plain} == plain
    means = [found[f'coco/bbox_kind {k}_precision'] for k in range(3)]
    assert np.mean(means) == pytest.approx(found['coco/bbox_mAP'], abs=1e-3)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'faster_coco_eval', None)
    with pytest.raises(ConfigError, match='pip install faster-coco-eval'):
        FastCocoMetric(ann_file='x.json')
