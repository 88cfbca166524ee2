"""Detectors in bf16: unrounded boxes, close losses, training and prediction."""

from __future__ import annotations

import copy

import pytest
import torch
from detection_data import IMAGE, detection_data
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from torch import nn

import swinv2_dense

pytest.importorskip('mmdet')
from swinv2_dense.det import keep_borders_in_fp32  # noqa: E402


@pytest.fixture(scope='module')
def detector() -> nn.Module:
    """The small HTC++, whose blocks are not the identity."""
    cfg = Config.fromfile(swinv2_dense.config_path('_base_/models/htc++_small.py'))
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.init_weights()
    for name, param in model.backbone.named_parameters():
        if '.norm' in name:
            param.data.add_(torch.randn_like(param) * 0.2)
    return model


def labeled_data() -> dict:
    """Detection data with the semantic map that HTC++ learns from."""
    data = detection_data()
    data['data_samples'][0].gt_sem_seg = PixelData(sem_seg=torch.randint(10, (1, *IMAGE)))
    return data


@pytest.fixture
def data(detector) -> dict:
    torch.manual_seed(0)
    return detector.data_preprocessor(labeled_data(), training=True)


def losses_of(model: nn.Module, data: dict, bf16: bool) -> dict:
    torch.manual_seed(1)  # proposal sampling
    data = copy.deepcopy(data)
    with torch.autocast('cpu', torch.bfloat16, enabled=bf16):
        return model.parse_losses(model(**data, mode='loss'))[1]


def test_bf16_fails_without_the_hook(detector, data):
    """The defect that the hook works around: mmcv has no bf16 kernels."""
    with pytest.raises(RuntimeError, match='BFloat16'):
        losses_of(copy.deepcopy(detector).train(), data, bf16=True)


def test_losses_in_bf16_are_close(detector, data):
    model = copy.deepcopy(detector).train()
    exact = losses_of(model, data, bf16=False)
    keep_borders_in_fp32(model)
    same = losses_of(model, data, bf16=False)
    rounded = losses_of(model, data, bf16=True)
    assert {k: v.item() for k, v in same.items()} == {k: v.item() for k, v in exact.items()}
    assert rounded['loss'].item() == pytest.approx(exact['loss'].item(), rel=0.02)
    assert rounded['loss'].dtype == torch.float32


def test_trains_in_bf16(detector, data):
    model = copy.deepcopy(detector).train()
    keep_borders_in_fp32(model)
    losses_of(model, data, bf16=True)['loss'].backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert {n for n, _ in model.backbone.named_parameters()} <= {
        n.removeprefix('backbone.') for n in grads
    }
    assert all(g.isfinite().all() and g.dtype == torch.float32 for g in grads.values())


def test_predictions_in_bf16_are_fp32(detector, data):
    model = copy.deepcopy(detector).eval()
    model.test_cfg.rcnn.score_thr = 0.0
    keep_borders_in_fp32(model)
    keep_borders_in_fp32(model)  # twice is once
    hooks = sum(len(m._forward_hooks) for m in model.modules())
    data['data_samples'][0].set_metainfo(dict(scale_factor=(1.0, 1.0)))
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        (result,) = model.predict(data['inputs'], data['data_samples'], rescale=True)
        assert torch.is_autocast_enabled('cpu')
    assert len(result.pred_instances) > 0
    assert result.pred_instances.bboxes.dtype == result.pred_instances.scores.dtype == torch.float32
    assert result.pred_instances.masks.dtype == torch.bool
    keep_borders_in_fp32(model)
    assert sum(len(m._forward_hooks) for m in model.modules()) == hooks


def test_detr_boxes_are_not_rounded():
    """DINO's head adds reference points to its output: bf16 would move a box by a pixel."""
    from mmdet.models.dense_heads import DINOHead

    with DefaultScope.overwrite_default_scope('mmdet'):
        head = DINOHead(
            num_classes=3,
            embed_dims=8,
            num_pred_layer=1,
            loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        )
    head.init_weights()
    hidden = torch.randn(1, 2, 5, 8)
    references = [torch.full((2, 5, 4), 0.7507) + torch.rand(2, 5, 4) * 0.1]
    with torch.no_grad():
        _, exact = head(hidden, references)
        with torch.autocast('cpu', torch.bfloat16):
            _, rounded = head(hidden, references)
            keep_borders_in_fp32(head)
            _, kept = head(hidden.bfloat16(), references)
    assert rounded.dtype == torch.bfloat16
    assert ((rounded.float() - exact) * 1333).abs().max() > 1  # pixels
    assert kept.dtype == torch.float32
    assert ((kept - exact) * 1333).abs().max() < 0.2


def test_an_error_inside_an_operator_restores_autocast(detector):
    extractor = copy.deepcopy(detector.roi_head.bbox_roi_extractor[0])
    keep_borders_in_fp32(extractor)
    with torch.autocast('cpu', torch.bfloat16):
        with pytest.raises(Exception):  # noqa: B017  whatever mmdet makes of it
            extractor(None, None)
        assert torch.is_autocast_enabled('cpu')


@pytest.mark.cuda
def test_losses_in_bf16_are_close_on_cuda(detector, data):
    model = copy.deepcopy(detector).cuda().train()
    keep_borders_in_fp32(model)
    data = model.data_preprocessor.cuda()(labeled_data(), training=True)
    results = []
    for bf16 in (False, True):
        torch.manual_seed(1)
        with torch.autocast('cuda', torch.bfloat16, enabled=bf16):
            results.append(model.parse_losses(model(**copy.deepcopy(data), mode='loss'))[0])
    assert results[1].item() == pytest.approx(results[0].item(), rel=0.02)
