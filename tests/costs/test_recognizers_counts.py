"""Operations and memory of a recognizer, compared with formulas and with what is kept."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from swinv2_dense.costs import counts
from swinv2_dense.costs.recognizers import recognizer_parts

pytest.importorskip('mmaction')
ARCH = dict(embed_dims=16, depths=(2, 1, 2, 1), num_heads=(1, 2, 4, 8))
MODEL = dict(
    type='Recognizer3D',
    backbone=dict(type='VideoSwinTransformerV2', arch=ARCH, window_size=(2, 4, 4)),
    cls_head=dict(type='I3DHead', in_channels=128, num_classes=400),
)
VIEW, CLIP = (8, 64, 96), (12, 96, 64)  # frames, pixels


def build(device: str, **backbone) -> nn.Module:
    cfg = copy.deepcopy(MODEL)
    cfg['backbone'].update(backbone)
    with DefaultScope.overwrite_default_scope('mmaction'), torch.device(device):
        return MODELS.build(cfg)


def measured(**backbone) -> dict:
    parts = recognizer_parts(build('meta', **backbone), VIEW, CLIP)
    return {part.name: part for part in parts}


@pytest.fixture(scope='module')
def parts() -> dict:
    return measured()


def test_parameters_and_operations_of_a_view(parts):
    """torch's own counter sees every product in the plain form of the backbone."""
    model = build('meta').eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.backbone(torch.empty(1, 3, *VIEW, device='meta'))
    assert parts['backbone'].macs * 2 == counter.get_total_flops()
    assert parts['cls_head'].macs == 128 * 400
    assert parts['cls_head'].params == 128 * 400 + 400
    assert parts['backbone'].params == sum(p.numel() for p in model.backbone.parameters())


def test_what_is_kept_is_what_a_real_step_keeps(parts):
    """Two clips with mmaction2's own loss. Only the estimate has log-CPB's hidden layer."""
    model = build('cpu').train()
    kept = counts.Kept(model)
    with kept.hooks:
        maps = model.backbone(torch.randn(2, 3, *CLIP))
        backbone = kept.take()
        scores = model.cls_head(maps.detach().requires_grad_())
        model.cls_head.loss_cls(scores, torch.tensor([3, 399]))
        head = kept.take()
    assert backbone <= parts['backbone'].kept * 2 * 1.01 <= 1.3 * backbone
    loss = 2 * 400 * 4  # bytes of scores, which the loss keeps
    assert parts['cls_head'].kept * 2 == pytest.approx(head - loss, rel=0.1)


def test_checkpointing_keeps_less(parts):
    """At least the input of each block; a stage has a quarter of the tokens of the previous one."""
    tokens, dims = 6 * 24 * 16, 16
    inputs = sum(depth * tokens // 4**i * dims * 2**i for i, depth in enumerate(ARCH['depths']))
    kept = measured(with_cp=True)['backbone'].kept
    assert 4 * inputs < kept < 0.5 * parts['backbone'].kept
