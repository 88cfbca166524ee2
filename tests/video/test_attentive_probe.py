"""The attentive probe: its formula, in plain loops, and that a frozen backbone stays as it is."""

from __future__ import annotations

import math

import pytest
import torch
from commands import ROOT
from mmengine.config import Config
from narrow import ARCH, CHANNELS
from torch.testing import assert_close

import swinv2_dense  # noqa: F401  patches mmaction2's import

pytest.importorskip('mmaction')

from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample

from swinv2_dense.video import AttentiveProbeHead


def test_the_scores_are_those_of_the_formula():
    """One query per clip, head by head and token by token."""
    torch.manual_seed(0)
    head = AttentiveProbeHead(3, 8, num_heads=2, mlp_ratio=2).double().eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    x = torch.randn(2, 8, 2, 1, 3, dtype=torch.double)
    wq, wk, wv = head.attention.in_proj_weight.chunk(3)
    bq, bk, bv = head.attention.in_proj_bias.chunk(3)

    def norm(v, layer):
        deviation = (v.var(unbiased=False) + layer.eps).sqrt()
        return (v - v.mean()) / deviation * layer.weight + layer.bias

    expected = []
    for clip in x:
        tokens = [
            norm(clip[:, t, h, w], head.norm1) for t in range(2) for h in range(1) for w in range(3)
        ]
        query = head.query[0, 0]
        parts = []
        for rows in (slice(0, 4), slice(4, 8)):
            q = (wq @ query + bq)[rows]
            logits = torch.stack([q @ (wk @ token + bk)[rows] / math.sqrt(4) for token in tokens])
            weights = logits.exp() / logits.exp().sum()
            parts.append(sum(w * (wv @ token + bv)[rows] for w, token in zip(weights, tokens)))
        query = query + head.attention.out_proj(torch.cat(parts))
        query = query + head.mlp(norm(query, head.norm2))
        expected.append(head.fc_cls(query))
    assert_close(head(x), torch.stack(expected))


def test_only_the_probe_of_the_fragment_learns():
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/recognizer_attentive-probe.py').model
    cfg.backbone.update(arch=ARCH, window_size=(2, 2, 2), init_cfg=None)
    cfg.cls_head.update(in_channels=CHANNELS[-1], num_heads=4, num_classes=5)
    model = MODELS.build(cfg)
    model.init_weights()
    model.train()
    samples = [ActionDataSample().set_gt_label(label) for label in (1, 4)]
    clips = torch.randn(2, 1, 3, 4, 32, 32)
    losses = model(clips, samples, mode='loss')
    losses['loss_cls'].backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {f'cls_head.{name}' for name, _ in model.cls_head.named_parameters()}
    assert all(p.grad.abs().sum() > 0 for n, p in model.named_parameters() if n in learned)
    assert not model.backbone.layers[3].training


def test_its_costs_are_counted():
    """By hand: projections of query and tokens, attention, MLP and linear layer, of width C."""
    from swinv2_dense.costs.recognizers import recognizer_parts

    cfg = Config.fromfile(ROOT / 'configs/_base_/models/recognizer_attentive-probe.py').model
    cfg.backbone.update(arch=ARCH, window_size=(2, 2, 2), init_cfg=None)
    cfg.cls_head.update(in_channels=CHANNELS[-1], num_heads=4, num_classes=5)
    with torch.device('meta'):
        model = MODELS.build(cfg)
    parts = {part.name: part for part in recognizer_parts(model, (4, 64, 64), (4, 64, 64))}
    tokens, width = 2 * 2 * 2, CHANNELS[-1]
    projections = (2 * tokens + 2) * width**2  # keys and values; query and output
    assert parts['cls_head'].macs == pytest.approx(
        projections + 2 * tokens * width + 8 * width**2 + 5 * width
    )
    assert parts['backbone'].kept == 0  # frozen
