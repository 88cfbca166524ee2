"""Configs of other projects can use our backbone with only `custom_imports` and its name."""

from __future__ import annotations

import math

import pytest
import torch
from detection_data import IMAGE, detection_data
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData

HEADER = "custom_imports = dict(imports=['swinv2_dense'], allow_failed_imports=False)\n"
ARCH = dict(embed_dims=16, depths=(1, 2, 1, 1), num_heads=(1, 2, 4, 8))
DETECTORS = {
    'RetinaNet': """
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
model = dict(backbone={backbone}, neck=dict(in_channels=[16, 32, 64, 128]))
""",
    'Mask R-CNN': """
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
model = dict(backbone={backbone}, neck=dict(in_channels=[16, 32, 64, 128]))
""",
    'DINO': """
_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
model = dict(
    backbone=dict(out_indices=(1, 2, 3), **{backbone}),
    neck=dict(in_channels=[32, 64, 128]),
    num_queries=20,
    encoder=dict(num_layers=1),
    decoder=dict(num_layers=2),
)
""",
    'Mask2Former': """
_base_ = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'
model = dict(
    data_preprocessor=dict(batch_augments=None),
    backbone={backbone},
    panoptic_head=dict(
        in_channels=[16, 32, 64, 128],
        num_queries=10,
        pixel_decoder=dict(encoder=dict(num_layers=1)),
        num_transformer_feat_level=3,
    ),
)
""",
}


def load(tmp_path, text: str, name: str = 'SwinTransformerV2') -> Config:
    backbone = f"dict(_delete_=True, type='{name}', arch={ARCH}, window_size=4, drop_path_rate=0.0)"
    path = tmp_path / 'config.py'
    path.write_text(HEADER + text.replace('{backbone}', backbone))
    return Config.fromfile(path)


def build(cfg: Config) -> torch.nn.Module:
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()  # DINO's embeddings of levels are uninitialized memory before
    return model.train()


def train_step(model: torch.nn.Module, data: dict) -> dict:
    """One SGD step with mmengine's own code; it must update both ends of the backbone."""
    from mmengine.optim import OptimWrapper

    backbone = model.backbone
    before = {name: p.detach().clone() for name, p in backbone.named_parameters()}
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3))
    losses = model.train_step(data, optim_wrapper)
    assert losses['loss'].isfinite()
    changed = [n for n, p in backbone.named_parameters() if not torch.equal(p, before[n])]
    assert set(changed) >= {'patch_embed.proj.weight', 'layers.3.blocks.0.norm2.bias'}
    return losses


@pytest.mark.parametrize('text', DETECTORS.values(), ids=DETECTORS)
def test_mmdet_detector_takes_a_training_step(tmp_path, text):
    pytest.importorskip('mmdet')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = build(load(tmp_path, text))
        train_step(model, detection_data())


def test_mmseg_upernet_takes_a_training_step(tmp_path):
    pytest.importorskip('mmseg')
    cfg = load(
        tmp_path,
        """
_base_ = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(96, 128)),
    backbone={backbone},
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=32),
    auxiliary_head=dict(in_channels=64, channels=16),
)
""",
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        from mmseg.structures import SegDataSample

        samples = []
        for _ in range(2):  # the pyramid pooling's BatchNorm sees one value per image
            sample = SegDataSample(metainfo=dict(img_shape=IMAGE, ori_shape=IMAGE))
            sample.gt_sem_seg = PixelData(data=torch.randint(150, (1, *IMAGE)))
            samples.append(sample)
        images = [torch.randint(256, (3, *IMAGE), dtype=torch.uint8) for _ in samples]
        losses = train_step(build(cfg), dict(inputs=images, data_samples=samples))
    assert losses['decode.loss_ce'].item() == pytest.approx(math.log(150), rel=0.3)


def test_mmaction2_recognizer_takes_a_training_step(tmp_path):
    pytest.importorskip('mmcv')
    cfg = load(
        tmp_path,
        """
_base_ = 'mmaction::_base_/models/swin_tiny.py'
default_scope = 'mmaction'
model = dict(backbone={backbone}, cls_head=dict(in_channels=128))
""",
        name='VideoSwinTransformerV2',
    )
    with DefaultScope.overwrite_default_scope('mmaction'):
        model = build(cfg)
        from mmaction.structures import ActionDataSample

        sample = ActionDataSample().set_gt_label(7)
        clip = torch.randint(256, (1, 3, 8, 64, 80), dtype=torch.uint8)
        losses = train_step(model, dict(inputs=[clip], data_samples=[sample]))
    assert losses['loss_cls'].item() == pytest.approx(math.log(400), rel=0.3)
