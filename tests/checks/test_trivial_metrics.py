"""Trivial metrics are dropped or marked as such."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from swinv2_dense.training.undefined_metrics import UndefinedMetricsHook, undefined

NAN = float('nan')


def evaluate(metric: dict, scores: np.ndarray, labels: list[int]) -> dict:
    from mmaction.registry import METRICS

    with DefaultScope.overwrite_default_scope('mmaction'):
        metric = METRICS.build(metric)
    for score, label in zip(scores, labels):
        sample = dict(pred_score=torch.tensor(score), gt_label=torch.tensor([label]))
        metric.process(None, [sample])
    return metric.evaluate(size=len(labels))


def recognizer(count: int, **metric: object) -> Config:
    head = dict(type='I3DHead', in_channels=8, num_classes=count)
    evaluator = dict(type='AccMetric', **metric)
    return Config(
        dict(model=dict(cls_head=head), val_evaluator=evaluator, test_evaluator=[dict(evaluator)])
    )


@pytest.mark.parametrize(
    'count, given, kept',
    [(2, None, ['top1']), (5, None, ['top1']), (6, None, ['top1', 'top5']), (3, (1, 2, 3), [1, 2])],
)
def test_top_k_of_k_classes_is_not_reported(count, given, kept):
    pytest.importorskip('mmaction')
    from mmaction.registry import MODELS

    from swinv2_dense.video.few_classes import drop_certain_topk

    options = {} if given is None else dict(metric_options=dict(top_k_accuracy=dict(topk=given)))
    cfg = recognizer(count, **options)
    drop_certain_topk(cfg)
    kept = [name if isinstance(name, str) else f'top{name}' for name in kept]
    scores = np.random.default_rng(0).random((12, count))
    labels = [i % count for i in range(12)]
    expected = evaluate(dict(type='AccMetric', **options), scores, labels)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator[0]):
        found = evaluate(evaluator, scores, labels)
        assert list(found) == [*(f'acc/{name}' for name in kept), 'acc/mean1']
        assert all(found[name] == expected[name] for name in found)
    left_out = [name for name in expected if name not in found]
    assert all(expected[name] == 1.0 for name in left_out)
    if given is None:
        with DefaultScope.overwrite_default_scope('mmaction'):
            head = MODELS.build(cfg.model.cls_head)
        assert [f'top{k}' for k in head.topk] == kept


METRICS = {
    'coco/bbox_mAP': -1.0,
    'coco/bbox_mAP_s': -1.0,
    'coco/bbox_car_precision': NAN,
    'coco/AR@100': np.float64(-1),
    'loss_gain': -1.0,
    'mIoU': np.float32('nan'),
    'name': 'text',
    'coco/segm_mAP': 0.0,
}


def told(metrics: dict) -> dict[str, list[str]]:
    said = dict(warning=[], info=[])
    logger = SimpleNamespace(warning=said['warning'].append, info=said['info'].append)
    UndefinedMetricsHook().after_val_epoch(SimpleNamespace(logger=logger), metrics)
    return said


def test_undefined_metrics_are_found():
    assert undefined(METRICS) == [
        *('coco/bbox_mAP', 'coco/bbox_mAP_s', 'coco/bbox_car_precision', 'coco/AR@100', 'mIoU'),
    ]


def test_an_undefined_main_metric_is_a_warning():
    said = told(METRICS)
    assert said['warning'] == [
        'coco/bbox_mAP is undefined (-1.0): val_dataloader.dataset has no objects or labels of the '
        'classes to compare predictions with'
    ]
    assert 'coco/bbox_mAP_s, coco/bbox_car_precision' in said['info'][0]
    assert told({'mIoU': NAN})['warning'][0].startswith('mIoU is undefined (nan)')


def test_missing_small_objects_are_a_note():
    said = told({'coco/bbox_mAP': 0.4, 'coco/bbox_mAP_s': -1.0})
    assert said['warning'] == []
    assert said['info'] == [
        'Undefined, because the data has no such objects or labels: coco/bbox_mAP_s'
    ]
    assert told({'mIoU': 40.0}) == dict(warning=[], info=[])
