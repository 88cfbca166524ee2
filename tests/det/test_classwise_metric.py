"""AP per class: boxes and masks apart, after the means; mAP is what everything compares by."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import DefaultScope

pytest.importorskip('mmdet')
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from pycocotools import mask as coco_mask

import swinv2_dense
from swinv2_dense.checks.main_metric import main_metric
from swinv2_dense.cli.plot_log import main as plot_log
from swinv2_dense.det import ClasswiseCocoMetric, separate_classwise_keys
from swinv2_dense.resilience.atomic_checkpoints import AtomicCheckpointHook

CLASSES = ('car', 'bbox_cat')  # the second looks like a key of boxes
BOX = (10, 10, 50, 50)


def full(box: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros((100, 100), np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


@pytest.fixture
def ann_file(tmp_path: Path) -> str:
    """An object of each class, a whole square."""
    x0, y0, x1, y1 = BOX
    outline = [[x0, y0, x1, y0, x1, y1, x0, y1]]
    shared = dict(bbox=[x0, y0, x1 - x0, y1 - y0], area=1600, iscrowd=0, segmentation=outline)
    coco = dict(
        images=[dict(id=i, file_name=f'{i}.jpg', width=100, height=100) for i in (1, 2)],
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)],
        annotations=[dict(id=i, image_id=i, category_id=i, **shared) for i in (1, 2)],
    )
    (tmp_path / 'val.json').write_text(json.dumps(coco))
    return str(tmp_path / 'val.json')


def evaluate(kind: type, ann_file: str, **settings: object) -> dict[str, float]:
    """The boxes are right; the masks of cars too, and those of cats cover a tenth."""
    metric = kind(ann_file=ann_file, **settings)
    metric.dataset_meta = dict(classes=CLASSES)
    for label, height in ((0, 40), (1, 4)):
        x0, y0, x1, _ = BOX
        mask = full((x0, y0, x1, y0 + height))
        found = dict(
            bboxes=torch.tensor([BOX], dtype=torch.float),
            scores=torch.tensor([0.9]),
            labels=torch.tensor([label]),
            masks=[coco_mask.encode(np.asfortranarray(mask))],
        )
        metric.process({}, [dict(pred_instances=found, img_id=label + 1, ori_shape=(100, 100))])
    return metric.evaluate(size=2)


def test_boxes_and_masks_have_separate_keys(ann_file):
    found = evaluate(ClasswiseCocoMetric, ann_file, metric=['bbox', 'segm'], classwise=True)
    assert found['coco/bbox_car_precision'] == found['coco/bbox_bbox_cat_precision'] == 1.0
    assert found['coco/segm_car_precision'] == 1.0
    assert found['coco/segm_bbox_cat_precision'] == 0.0
    assert list(found)[0] == 'coco/bbox_mAP' and list(found)[6] == 'coco/segm_mAP'
    plain = evaluate(CocoMetric, ann_file, metric=['bbox', 'segm'])
    assert plain['coco/segm_mAP'] == 0.5
    assert {key: found[key] for key in plain} == plain
    assert list(found)[: len(plain)] == list(plain) and len(found) == len(plain) + 4


def test_without_classes_nothing_changes(ann_file):
    settings = dict(metric=['bbox', 'segm'], metric_items=['mAP', 'mAP_50'])
    plain = evaluate(CocoMetric, ann_file, **settings)
    assert list(evaluate(ClasswiseCocoMetric, ann_file, **settings).items()) == list(plain.items())


def test_configs_of_users_get_it(ann_file):
    evaluator = dict(ann_file=ann_file, metric=['bbox', 'segm'], classwise=True)
    cfg = Config(
        dict(
            val_evaluator=dict(type='CocoMetric', **evaluator),
            test_evaluator=[
                dict(type='mmdet.CocoMetric', **evaluator),
                dict(type=CocoMetric, **evaluator),
                dict(type='LVISMetric', **evaluator),
                dict(type='CocoMetric', ann_file=ann_file),
                dict(type='VOCMetric', classwise=True),
                dict(type='MultiDatasets', metrics=[dict(type='CocoMetric', **evaluator)]),
            ],
        )
    )
    separate_classwise_keys(cfg)
    kinds = [cfg.val_evaluator.type, *(part.type for part in cfg.test_evaluator)]
    assert kinds == [
        'ClasswiseCocoMetric',
        'ClasswiseCocoMetric',
        'ClasswiseCocoMetric',
        'ClasswiseLVISMetric',
        'CocoMetric',
        'VOCMetric',
        'MultiDatasets',
    ]
    assert cfg.test_evaluator[-1].metrics[0].type == 'ClasswiseCocoMetric'
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert isinstance(METRICS.build(cfg.val_evaluator), CocoMetric)
    separate_classwise_keys(Config(dict(val_evaluator=None)))


MAIN = {
    'coco/bbox_mAP': ['coco/car_precision', 'coco/segm_mAP', 'coco/bbox_mAP', 'coco/bbox_mAP_50'],
    'coco/segm_mAP': ['coco/segm_car_precision', 'coco/segm_mAP'],
    'mIoU': ['aAcc', 'mIoU', 'mAcc'],
    'acc/top1': ['acc/top5', 'acc/top1', 'acc/mean1'],
    'score': ['score', 'mAP_of_mine'],
}


@pytest.mark.parametrize('best', MAIN)
def test_the_main_metric(best):
    assert main_metric(MAIN[best]) == best
    assert main_metric([]) is None


def test_save_best_auto_takes_the_main_metric(monkeypatch):
    seen = []
    monkeypatch.setattr(
        CheckpointHook, '_save_best_checkpoint', lambda self, runner, metrics: seen.append(metrics)
    )
    hook = AtomicCheckpointHook(save_best='auto')
    hook.file_backend = None
    hook._save_best_checkpoint(SimpleNamespace(), dict(aAcc=90.0, mIoU=40.0))
    assert seen == [dict(mIoU=40.0, aAcc=90.0)] and list(seen[0])[0] == 'mIoU'


def test_plot_log_draws_it(tmp_path, capsys):
    path = tmp_path / 'run' / '1' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    evaluation = {'coco/car_precision': 0.1, 'coco/bbox_mAP': 0.4, 'step': 1}
    records = [dict(loss=1.0, lr=0.1, time=0.1, step=1), evaluation]
    path.write_text(''.join(f'{json.dumps(record)}\n' for record in records))
    plot_log([str(tmp_path / 'run')])
    assert 'coco/bbox_mAP 0.4' in capsys.readouterr().out


def test_configs_name_their_metric():
    runtime = Config.fromfile(swinv2_dense.config_path('_base_/runtime/video.py'))
    assert runtime.default_hooks.checkpoint.save_best == 'acc/top1'
