"""A small HTC++ overfits real images, through its full pipeline and COCO evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
from coco_subset import write_subset
from commands import ROOT, scalars, succeed
from mmengine.config import Config, ConfigDict
from narrow import narrow_model, use_data

from swinv2_dense.quickstart.detection_panel import draw_curves

CONFIG = 'configs/detection/htc++_swinv2-b-w16_1xb2-bf16-3x_coco-1600.py'
ARCH = dict(embed_dims=32, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8))
CHANNELS = [32, 64, 128, 256]


def small(root: Path, size: int, iterations: int, interval: int) -> Config:
    """The config of HTC++ at a quarter of its width, on images of `size` pixels."""
    cfg = Config.fromfile(ROOT / CONFIG)
    narrow_model(cfg.model, width=64)
    # Weights and norms for few channels, as in the quickstart.
    init = [dict(type='Xavier', layer='Linear'), dict(type='Constant', layer='LayerNorm', val=1.0)]
    cfg.model.backbone.update(arch=ARCH, drop_path_rate=0.0, init_cfg=init, with_cp=False)
    cfg.model.neck[0].update(in_channels=CHANNELS, num_heads=8)
    cfg.model.neck[1].in_channels = CHANNELS
    cfg.model.test_cfg.rcnn.update(max_per_img=30, score_thr=0.01)
    for head in cfg.model.roi_head.bbox_head:
        head.fc_out_channels = 256
    use_data(cfg, root)
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert [step.type for step in pipeline][1:4:2] == ['RunLengthInstaBoost', 'RandomResize']
    pipeline[3].scale = [(size * 5 // 4, size // 2), (size * 5 // 4, size)]
    for part in ('val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.dataset.pipeline[1].scale = (size, size)
        loader.dataset.data_prefix.img = 'train2017/'
    cfg.train_dataloader.update(sampler=dict(type='InfiniteSampler'), batch_sampler=None)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=iterations, val_interval=interval, _delete_=True
    )
    cfg.train_cfg.pop('_delete_')
    cfg.optim_wrapper = ConfigDict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.0),
        clip_grad=dict(max_norm=5.0),
    )
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.05, end=min(30, iterations), by_epoch=False),
        dict(
            type='CosineAnnealingLR',
            begin=iterations // 2,
            T_max=iterations - iterations // 2,
            by_epoch=False,
        ),
    ]
    cfg.default_hooks.logger.update(interval=10, log_metric_by_epoch=False)
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=iterations)
    cfg.log_processor = dict(by_epoch=False)
    cfg.randomness = dict(seed=0)
    return cfg


def train(samples: Path, folder: Path, size: int, iterations: int, interval: int) -> list[dict]:
    """mmengine's log of a training on 8 images."""
    pytest.importorskip('mmdet')
    pytest.importorskip('instaboostfast')
    cfg = small(write_subset(samples, folder / 'coco', 8), size, iterations, interval)
    cfg.dump(folder / 'small.py')
    succeed('train', folder / 'small.py', '--work-dir', folder / 'work', limit=10 * iterations)
    return scalars(folder / 'work')


@pytest.mark.slow
def test_the_loss_falls_and_evaluation_runs(samples, tmp_path):
    log = train(samples, tmp_path, 128, 20, 20)
    losses = [entry for entry in log if 'loss' in entry]
    assert {f's{i}.loss_{part}' for i in range(3) for part in ('cls', 'bbox', 'mask')} < set(
        losses[0]
    )
    assert losses[-1]['loss'] < 0.8 * losses[0]['loss']
    assert 'loss_semantic_seg' in losses[0]
    assert {'coco/bbox_mAP_50', 'coco/segm_mAP_50'} <= set(log[-1])


@pytest.mark.slow
def test_it_overfits_real_images(samples, tmp_path):
    log = train(samples, tmp_path, 256, 900, 150)
    (scalars_file,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    draw_curves(scalars_file, tmp_path / 'curves.png', target=0.8)
    assert log[-1]['coco/bbox_mAP_50'] >= 0.8
    assert log[-1]['coco/segm_mAP_50'] >= 0.8
