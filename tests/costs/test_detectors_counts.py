"""Operations and memory of detector modules, compared with formulas and with what is kept."""

from __future__ import annotations

import copy

import pytest
import torch
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from narrow import CHANNELS, WIDTH, narrow_model

from swinv2_dense.costs import counts
from swinv2_dense.costs.detectors import detector_parts, training_bytes

pytest.importorskip('mmdet')
SIZE = (64, 96)  # pixels
MAPS = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]


@pytest.fixture(scope='module')
def cfg() -> Config:
    """A small HTC++: 40 proposals and 5 detections at test, 32 boxes and 8 masks in training."""
    cfg = Config.fromfile(ROOT / 'configs/detection/htc++_swinv2-b-w16_1xb2-bf16-3x_coco-1600.py')
    narrow_model(cfg.model)
    cfg.model.backbone.with_cp = False
    return cfg


@pytest.fixture(scope='module')
def parts(cfg) -> dict:
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(copy.deepcopy(cfg.model))
    return {part.name: part for part in detector_parts(model, SIZE, SIZE)}


def area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def test_operations_of_neck_and_rpn(parts):
    tokens, dims = area(MAPS[3]), CHANNELS[-1]
    attention = tokens * 12 * dims**2 + 2 * tokens**2 * dims
    fpn = sum(
        area(m) * (c * WIDTH + 9 * WIDTH**2) for m, c in zip(MAPS, CHANNELS)
    )  # the fifth map is pooled
    assert parts['neck'].macs == attention + fpn
    assert parts['rpn_head'].macs == sum(map(area, MAPS)) * (9 * WIDTH**2 + WIDTH * 15)


def test_operations_of_roi_heads(parts):
    fc = 2 * WIDTH
    box = 4 * 49 * 9 * WIDTH**2 + 49 * WIDTH * fc + fc * 81 + fc * 4
    # At test the last mask head needs the features of the two before: 14 x 14, then 28 x 28.
    features = 4 * 196 * 9 * WIDTH**2
    logits = 196 * 4 * WIDTH**2 + 784 * WIDTH * 80
    masks = 3 * features + 2 * 196 * WIDTH**2 + 3 * logits
    # Five maps are resized to the second one, and each passes through a convolution.
    semantic = area(MAPS[1]) * ((5 + 4 * 9 + 1) * WIDTH**2 + WIDTH * 183)
    assert parts['roi_head'].macs == 3 * 40 * box + 5 * masks + semantic


def test_what_is_kept_is_what_a_real_step_keeps(cfg, parts):
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(copy.deepcopy(cfg.model)).train()
    kept = counts.Kept(model)
    with kept.hooks:
        maps = model.backbone(torch.randn(1, 3, *SIZE))
        backbone = kept.take()
        feats = model.neck(maps)
        neck = kept.take()
        model.rpn_head(feats)
        rpn_head = kept.take()
    # Maps that two modules keep count once there and twice here; log-CPB's hidden layer only here.
    assert parts['rpn_head'].kept == pytest.approx(rpn_head, rel=0.15)
    assert parts['neck'].kept == pytest.approx(neck, rel=0.15)
    assert backbone <= parts['backbone'].kept <= 1.6 * backbone


def test_training_bytes_by_hand(parts):
    params = sum(part.params for part in parts.values())
    kept = sum(part.kept for part in parts.values())
    assert training_bytes(list(parts.values()), 3) == 16 * params + 3 * kept
    assert training_bytes(list(parts.values()), 3, shards=8) == 16 * params // 8 + 3 * kept


def test_a_detector_with_one_stage():
    """ATSS: two towers of four convolutions, then classes, boxes and centerness, on five maps."""
    cfg = Config.fromfile(ROOT / 'configs/detection/atss_swinv2-t-w16_1xb4-bf16-1x_coco.py')
    narrow_model(cfg.model)
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(cfg.model)
    parts = {part.name: part for part in detector_parts(model, SIZE, SIZE)}
    assert set(parts) == {'backbone', 'neck', 'bbox_head'}
    tokens = sum(map(area, [*MAPS[1:], (1, 1)]))
    assert parts['bbox_head'].macs == tokens * 9 * (8 * WIDTH**2 + (80 + 4 + 1) * WIDTH)
    assert parts['bbox_head'].kept > 0
