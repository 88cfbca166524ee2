"""Small segmentors, ours and mmseg's with the same weights."""

from __future__ import annotations

import copy

import torch
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

CLASSES = 7
SLIDE = dict(mode='slide', crop_size=(48, 40), stride=(31, 27))
WHOLE = dict(mode='whole')


def upernet(**changes) -> ConfigDict:
    """A small UperNet with windows of 4 x 4 tokens; `changes` are of its head."""
    arch = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4))
    head = dict(
        type='UPerHead',
        in_channels=[8, 16, 32, 64],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=8,
        dropout_ratio=0.0,
        num_classes=CLASSES,
        norm_cfg=dict(type='GN', num_groups=2),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss'),
    )
    return ConfigDict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3),
        backbone=dict(type='SwinTransformerV2', arch=arch, window_size=4, drop_path_rate=0.0),
        decode_head={**head, **changes},
        test_cfg=WHOLE,
    )


def pair(test_cfg: dict, kind: str = 'TiledEncoderDecoder', **changes) -> tuple:
    """mmseg's model and one of `kind` with the same random weights, in fp64."""
    cfg = upernet(**changes)
    cfg.test_cfg = test_cfg
    plain = MODELS.build(copy.deepcopy(cfg))
    ours = MODELS.build({**copy.deepcopy(cfg), 'type': kind})
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if 'norm' in name:  # at zero, blocks are the identity
                parameter.normal_(1.0, 0.3)
        plain.decode_head.conv_seg.weight.normal_(0.0, 1.0)
    ours.load_state_dict(plain.state_dict())
    return plain.double().eval(), ours.double().eval()


def samples(count: int, **meta) -> list[SegDataSample]:
    return [SegDataSample(metainfo=copy.deepcopy(meta)) for _ in range(count)]


def labels_of(model, image, **meta) -> torch.Tensor:
    with torch.no_grad():
        found = model.predict(image, samples(len(image), **meta))
    return torch.stack([sample.pred_sem_seg.data for sample in found])
