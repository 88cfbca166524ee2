"""Data with boxes only: it trains, or one line names the fragment and models for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, run_here
from mmengine.config import Config
from narrow import narrow_model, shrink_images

pytest.importorskip('mmdet')

from coco_tree import write_tree  # noqa: E402

from swinv2_dense.det.check_masks import check_masks, predicts_masks  # noqa: E402
from swinv2_dense.errors import ConfigError  # noqa: E402

CLASSES = ('apple', 'pear')
CONFIG = """
_base_ = [
    __import__('swinv2_dense').config_path('_base_/models/{model}.py'),
    __import__('swinv2_dense').config_path('_base_/datasets/{data}.py'),
    __import__('swinv2_dense').config_path('_base_/schedules/adamw_1x.py'),
    'mmdet::_base_/default_runtime.py',
]
model = __import__('swinv2_dense').own_data.set_num_classes(_base_.model, len(_base_.classes))
"""
MODELS = [
    'faster-rcnn',
    pytest.param('cascade-rcnn', marks=pytest.mark.slow),
    'atss',
    pytest.param('htc++_without-mask', marks=pytest.mark.slow),
]
FOR_BOXES = 'use configs/_base_/datasets/own_boxes.py with a model without masks, such as faster-rc'


def without(annotation: dict) -> None:
    del annotation['segmentation']


def masked(annotation: dict) -> None:
    x, y, w, h = annotation['bbox']
    annotation['segmentation'] = [[x, y, x + w, y, x + w, y + h]]


def change(root: Path, edit: Callable[[dict], Any], first: int = 0) -> None:
    for path in (root / 'annotations').glob('*.json'):
        coco = json.loads(path.read_text())
        for annotation in coco['annotations'][first:]:
            edit(annotation)
        path.write_text(json.dumps(coco))


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own without a mask."""
    root = write_tree(tmp_path / 'data', CLASSES)
    change(root, without)
    monkeypatch.setenv('OWN_DATA', str(root))
    return root


def write_config(folder: Path, model: str, data: str = 'own_boxes') -> Path:
    """The page's config, narrow, for one epoch on small images."""
    path = folder / 'own.py'
    path.write_text(CONFIG.format(model=model, data=data))
    cfg = Config.fromfile(path)
    narrow_model(cfg.model)
    shrink_images(cfg, 8)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].update(num_workers=0, persistent_workers=False)
    cfg.train_cfg.max_epochs = 1
    cfg.dump(folder / 'small.py')
    return folder / 'small.py'


def stop(config: Path, work_dir: Path) -> str:
    """The one line with which a training ends before its first step."""
    result = run_here('train', config, '--work-dir', work_dir)
    assert result.returncode == 2, result.stderr
    assert 'Traceback' not in result.stderr
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize('model', MODELS)
def test_boxes_train_and_test(model, boxes, tmp_path):
    config, work = write_config(tmp_path, model), tmp_path / 'work'
    result = run_here('train', config, '--work-dir', work)
    assert result.returncode == 0, result.stderr[-2000:]
    for name in ('mAP', *(f'{name}_precision' for name in CLASSES)):
        assert f'coco/bbox_{name}: ' in result.stdout + result.stderr
    assert 'coco/segm' not in result.stdout + result.stderr


def test_a_model_with_masks_and_the_fragment_for_boxes(boxes, tmp_path):
    line = stop(write_config(tmp_path, 'mask-rcnn'), tmp_path / 'work')
    assert 'pipeline loads no masks, from which model.roi_head.mask_head learns' in line
    assert FOR_BOXES in line


def test_data_without_masks_and_the_fragment_for_masks(boxes, tmp_path):
    line = stop(write_config(tmp_path, 'mask-rcnn', 'own_instance'), tmp_path / 'work')
    assert '4 of 4 objects have no segmentation, first annotation 1' in line
    assert f'for boxes only, {FOR_BOXES}' in line


def test_some_objects_without_masks(boxes, tmp_path):
    """A mixed set is refused: which objects lack a mask may not be by chance."""
    change(boxes, masked, first=3)
    line = stop(write_config(tmp_path, 'mask-rcnn', 'own_instance'), tmp_path / 'work')
    assert '3 of 4 objects have no segmentation, first annotation 1' in line
    assert f'add polygons to them, or for all boxes, {FOR_BOXES}' in line


def test_the_semantic_branch(boxes, tmp_path):
    line = stop(write_config(tmp_path, 'htc++', 'own_instance'), tmp_path / 'work')
    assert 'htc++_without-mask.py with configs/_base_/datasets/own_boxes.py' in line


def test_evaluated_masks_that_nothing_predicts(boxes, tmp_path):
    change(boxes, masked)
    line = stop(write_config(tmp_path, 'faster-rcnn', 'own_instance'), tmp_path / 'work')
    assert 'val_evaluator evaluates masks (segm), but the model, a FasterRCNN, predicts' in line
    assert 'own_boxes.py' in line


def test_instaboost_needs_masks(boxes, tmp_path):
    config = write_config(tmp_path, 'faster-rcnn')
    cfg = Config.fromfile(config)
    cfg.train_dataloader.dataset.pipeline.insert(1, dict(type='RunLengthInstaBoost'))
    cfg.dump(config)
    assert FOR_BOXES in stop(config, tmp_path / 'work')


def test_htc_without_masks_refines_boxes_between_stages():
    """mmdet's HTC does so in its mask branch only if `interleaved`."""
    model = Config.fromfile(ROOT / 'configs/_base_/models/htc++_without-mask.py').model
    check_masks(model, [], [])
    model.roi_head.pop('interleaved')
    with pytest.raises(ConfigError, match='interleaved=True without mask_head'):
        check_masks(model, [], [])


@pytest.mark.parametrize(
    'name, masks',
    {
        'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py': True,
        'solov2/solov2_r50_fpn_1x_coco.py': True,
        'rtmdet/rtmdet-ins_s_8xb32-300e_coco.py': True,
        'rtmdet/rtmdet_s_8xb32-300e_coco.py': False,
        'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py': True,
        'queryinst/queryinst_r50_fpn_1x_coco.py': True,
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py': False,
        'dino/dino-4scale_r50_8xb2-12e_coco.py': False,
        'retinanet/retinanet_r50_fpn_1x_coco.py': False,
    }.items(),
)
def test_which_detectors_of_mmdet_predict_masks(name, masks, tmp_path):
    """As their own metrics say."""
    (tmp_path / 'theirs.py').write_text(f"_base_ = 'mmdet::{name}'")
    cfg = Config.fromfile(tmp_path / 'theirs.py')
    assert predicts_masks(cfg.model) == masks == bool(re.search('segm', str(cfg.val_evaluator)))
