"""Operations and memory of SimMIM against formulas and against a real training step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from swinv2_dense.costs import counts
from swinv2_dense.costs.pretraining import simmim_parts
from swinv2_dense.pretraining import SimMIM

ARCH = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8))
FORMS = {
    'image': (dict(type='SwinTransformerV2', window_size=4), (64, 96), 32 * 32),
    'video': (dict(type='VideoSwinTransformerV2', window_size=(2, 4, 4)), (4, 64, 64), 2 * 32 * 32),
}


def build(form: str, device: str) -> nn.Module:
    with torch.device(device):
        return SimMIM(dict(FORMS[form][0], arch=ARCH))


@pytest.mark.parametrize('form', FORMS)
def test_costs_of_the_decoder_by_hand(form):
    """A 1 x 1 convolution from 128 channels to three per pixel of a unit."""
    _, size, unit = FORMS[form]
    units = (size[0] // 2 if form == 'video' else 1) * (size[-2] // 32) * (size[-1] // 32)
    parts = {part.name: part for part in simmim_parts(build(form, 'meta'), size, size)}
    assert parts['decoder'].macs == units * 128 * 3 * unit
    assert parts['decoder'].params == 3 * unit * (128 + 1) + 16
    total = sum(p.numel() for p in build(form, 'meta').parameters())
    assert sum(part.params for part in parts.values()) == total


def test_what_is_kept_is_what_a_real_step_keeps():
    """By the model's own loss; log-CPB's hidden layer counts here and is recomputed there."""
    _, size, _ = FORMS['image']
    parts = {part.name: part for part in simmim_parts(build('image', 'meta'), size, size)}
    model = build('image', 'cpu').train()
    kept = counts.Kept(model)
    with kept.hooks:
        image = torch.randn(1, 3, *size)
        (features,) = model.backbone.forward_tokens(model.backbone.patch_embed(image))
        kept.take()
        features = features.detach().requires_grad_()
        ((model.decode(features) - image).abs() * torch.ones(1, 1, *size)).sum()
    assert parts['decoder'].kept == pytest.approx(kept.take(), rel=0.05)
