"""Operations and memory of a classifier against formulas and against a real training step."""

from __future__ import annotations

import copy

import pytest
import torch
from contracts import classification
from mmengine.registry import MODELS, DefaultScope
from narrow import ARCH
from torch import nn

import swinv2_dense.classification  # noqa: F401  registers
from swinv2_dense.costs import counts
from swinv2_dense.costs.classifiers import classifier_parts

NAME = 'swinv2-t-w8_8xb128-bf16-300e_in1k-256'
SIZE = (64, 96)


def build(device: str, small: bool = True) -> nn.Module:
    cfg = copy.deepcopy(classification.CONTRACT.load(NAME).model)
    if small:
        cfg.backbone.update(arch=ARCH, window_size=4)
        cfg.head.in_channels = 128
    with DefaultScope.overwrite_default_scope('swinv2_classification'), torch.device(device):
        return MODELS.build(cfg)


def test_operations_are_the_published_ones():
    """SwinV2-T at 256 pixels: 28.35 M parameters, 5.9 G (MODELHUB.md of the official code)."""
    parts = classifier_parts(build('meta', small=False), (256, 256), (32, 32))
    assert sum(part.params for part in parts) == 28_347_154
    assert sum(part.macs for part in parts) == pytest.approx(5.9e9, rel=0.02)
    assert {part.name: part.macs for part in parts}['head'] == 768 * 1000


def test_what_is_kept_is_what_a_real_step_keeps():
    """log-CPB's hidden layer counts here and is recomputed there."""
    found = {part.name: part for part in classifier_parts(build('meta'), SIZE, SIZE)}
    model = build('cpu').train()
    kept = counts.Kept(model)
    with kept.hooks:
        maps = [m.detach().requires_grad_() for m in model.backbone(torch.randn(1, 3, *SIZE))]
        backbone = kept.take()
        model.head.loss(maps, torch.tensor([3]))
        head = kept.take()
    assert backbone <= found['backbone'].kept * 1.01 <= 1.6 * backbone
    assert found['head'].kept <= head <= found['head'].kept + 4 * 1000 * 3  # and the loss
