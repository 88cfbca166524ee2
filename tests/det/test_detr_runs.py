"""DINO and Mask2Former from their configs, narrow: bf16 and augmented tests."""

from __future__ import annotations

import copy

import pytest
import torch
from commands import ROOT
from detection_data import detection_data
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from narrow_detr import narrow_detr

pytest.importorskip('mmdet')
from swinv2_dense.det import keep_borders_in_fp32  # noqa: E402
from swinv2_dense.det.tta_config import use_tta  # noqa: E402
from swinv2_dense.errors import ConfigError  # noqa: E402

FOLDER = ROOT / 'configs/detr'
DINO = 'dino-4scale_swinv2-t-w16_8xb2-1x_coco'
MASKS = 'mask2former_swinv2-t-w16_8xb2-50e_coco'
PLAIN = 'plain-detr_swinv2-s-w16_16xb1-1x_coco'


def narrow(name: str) -> Config:
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    narrow_detr(cfg.model)
    cfg.model.data_preprocessor.pop('batch_augments', None)
    return cfg


def build(cfg: Config) -> torch.nn.Module:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(copy.deepcopy(cfg.model))
        model.init_weights()
    return model


def losses(model: torch.nn.Module, data: dict, seed: int = 0) -> torch.Tensor:
    """DINO's noise and the points of Mask2Former's masks are random."""
    torch.manual_seed(seed)
    found = model(**model.data_preprocessor(copy.deepcopy(data), True), mode='loss')
    return sum(value for key, value in found.items() if 'loss' in key)


@pytest.mark.parametrize('name', [DINO, MASKS])
def test_bf16_trains_and_predicts_in_fp32(name):
    model, data = build(narrow(name)).train(), detection_data()
    keep_borders_in_fp32(model)
    exact = losses(model, data)
    with torch.autocast('cpu', torch.bfloat16):
        rounded = losses(model, data)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=0.05)
    rounded.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    data['data_samples'][0].set_metainfo(dict(scale_factor=(1.0, 1.0)))
    with torch.autocast('cpu', torch.bfloat16), torch.no_grad():
        (sample,) = model.eval().test_step(data)
    assert sample.pred_instances.bboxes.dtype == torch.float32
    assert sample.pred_instances.scores.isfinite().all()


@pytest.mark.parametrize('name', [DINO, MASKS])
def test_images_without_objects_train_every_parameter(name):
    """DDP waits for a gradient of each."""
    model, data = build(narrow(name)).train(), detection_data()
    for sample in data['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    loss = losses(model, data)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize('name', [DINO, PLAIN])
def test_boxes_of_augmented_views_are_merged(name):
    cfg = narrow(name)
    use_tta(cfg)
    assert cfg.model.type == 'DetTTAModel'
    views = cfg.test_dataloader.dataset.pipeline[-1]
    assert [step['prob'] for step in views['transforms'][0]] == [0.0, 1.0]


@pytest.mark.parametrize('name', [MASKS, f'{MASKS}-panoptic'])
def test_masks_of_augmented_views_are_refused(name):
    cfg = narrow(name)
    if isinstance(cfg.test_evaluator, list):
        cfg.test_evaluator = cfg.test_evaluator[:1]  # PQ alone
    with pytest.raises(ConfigError, match='cannot merge the masks of a Mask2Former'):
        use_tta(cfg)
