"""Operations and memory of UperNet against formulas and against a real training step."""

from __future__ import annotations

import copy

import pytest
import torch
from contracts import segmentation
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from swinv2_dense.costs import counts
from swinv2_dense.costs.segmentors import IMAGES, segmentor_parts

pytest.importorskip('mmseg')
NAME = 'upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512'
ARCH = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8))
SMALL = dict(
    backbone=dict(arch=ARCH, window_size=4),
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=24),
    auxiliary_head=dict(in_channels=64, channels=8),
)
SIZE, AREAS, CLASSES = (64, 96), (384, 96, 24, 6), 150


def build(device: str) -> nn.Module:
    cfg = copy.deepcopy(segmentation.CONTRACT.load(NAME).model)
    cfg.backbone.init_cfg = None
    for part, values in SMALL.items():
        cfg[part].update(values)
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device(device):
        return MODELS.build(cfg)


@pytest.fixture(scope='module')
def parts() -> dict:
    model = build('meta')
    return {part.name: part for part in segmentor_parts(model, SIZE, SIZE)}


def test_operations_of_the_head_by_hand(parts):
    """1 x 1 and 3 x 3 convolutions of UperNet, of width 24, on maps of AREAS positions."""
    width, (first, *_, last) = 24, AREAS
    pooled = sum(scale**2 * 128 * width for scale in (1, 2, 3, 6))
    pyramid = pooled + last * 9 * (128 + 4 * width) * width
    lateral = sum(area * c * width for area, c in zip(AREAS[:3], (16, 32, 64)))
    smooth = sum(area * 9 * width * width for area in AREAS[:3])
    fused = first * (9 * 4 * width * width + width * CLASSES)
    assert parts['decode_head'].macs == pyramid + lateral + smooth + fused
    assert parts['auxiliary_head'].macs == 0


def test_what_is_kept_is_what_a_real_step_keeps(parts):
    """By mmseg's own losses; log-CPB's hidden layer counts here and is recomputed there."""
    model = build('cpu').train()
    labels = torch.zeros(IMAGES, 1, *SIZE, dtype=torch.long)
    kept = counts.Kept(model)
    with kept.hooks:
        maps = [m.detach().requires_grad_() for m in model.backbone(torch.randn(IMAGES, 3, *SIZE))]
        backbone = kept.take()
        found = {}
        for name in ('decode_head', 'auxiliary_head'):
            head = getattr(model, name)
            logits = nn.functional.interpolate(head(maps), SIZE, mode='bilinear')
            head.loss_decode(logits, labels.squeeze(1), ignore_index=255)
            found[name] = kept.take()
    for name, num_bytes in found.items():
        assert parts[name].kept * IMAGES == pytest.approx(num_bytes, rel=0.1), name
    assert backbone <= parts['backbone'].kept * IMAGES * 1.01 <= 1.6 * backbone
