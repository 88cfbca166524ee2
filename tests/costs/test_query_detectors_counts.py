"""Costs of DETRs: a decoder by hand, and what is kept against a run with real tensors."""

from __future__ import annotations

import pytest
import torch
from tiny_plain_detr import build_plain_detr, plain_detr_config, sample

pytest.importorskip('mmdet')
from mmdet.registry import MODELS  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

import swinv2_dense.det  # noqa: E402, F401
from swinv2_dense.costs.query_detectors import parts_of_any_detector  # noqa: E402

SIZE = (128, 160)
QUERIES, CHANNELS, HIDDEN, HEADS, RPB, LAYERS = 12, 32, 48, 4, 16, 2  # of the narrow config


def parts() -> dict:
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(plain_detr_config())
    return {part.name: part for part in parts_of_any_detector(model, SIZE, SIZE)}


def test_macs_of_a_decoder_by_hand():
    height, width = SIZE[0] // 16, SIZE[1] // 16
    cells = height * width
    self_attention = 4 * QUERIES * CHANNELS**2 + 2 * QUERIES**2 * CHANNELS
    cross_attention = 2 * (QUERIES + cells) * CHANNELS**2 + 2 * QUERIES * cells * CHANNELS
    bias = QUERIES * (height + width) * (2 * RPB + RPB * HEADS)
    ffn = 2 * QUERIES * CHANNELS * HIDDEN
    assert parts()['decoder'].macs == LAYERS * (self_attention + cross_attention + bias + ffn)


def test_parameters_and_kept_bytes_are_those_of_a_real_run():
    model = build_plain_detr().train()
    kept: dict[int, torch.UntypedStorage] = {}
    known = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(t: torch.Tensor) -> torch.Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        outs = model(torch.randn(1, 3, *SIZE), [sample(SIZE, [], [])], mode='tensor')
    found = parts()
    assert found['decoder'].params == sum(p.numel() for p in model.decoder.parameters())
    real = sum(storage.nbytes() for storage in kept.values())
    assert sum(part.kept for part in found.values()) == pytest.approx(real, rel=0.2)
    assert found['decoder'].kept > found['neck'].kept > 0
    del outs
