"""Small DETRs and Mask2Formers that overfit a few real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coco_subset import write_subset
from commands import ROOT
from mmengine.config import Config, ConfigDict
from narrow import mappings
from panoptic_subset import add_panoptic

CONFIGS = {
    'plain-detr': 'plain-detr_swinv2-s-w16_16xb1-1x_coco',
    'plain-detr-reparam': 'plain-detr-reparam_swinv2-s-w16_16xb1-1x_coco',
    'dino': 'dino-4scale_swinv2-t-w16_8xb2-1x_coco',
    'mask2former': 'mask2former_swinv2-t-w16_8xb2-50e_coco',
    'mask2former-panoptic': 'mask2former_swinv2-t-w16_8xb2-50e_coco-panoptic',
}
ARCH = dict(embed_dims=32, depths=(1, 1, 2, 2), num_heads=(1, 2, 4, 8))
CHANNELS = [32, 64, 128, 256]
# Weights and norms for few channels, as in the quickstart.
INIT = [dict(type='Xavier', layer='Linear'), dict(type='Constant', layer='LayerNorm', val=1.0)]
WIDTH = 96


def small(
    head: str, folder: Path, samples: Path, size: int, iterations: int, interval: int, **other: Any
) -> Config:
    """A config on 8 images at `size` pixels, without augmentation, from scratch."""
    cfg = Config.fromfile(ROOT / f'configs/detr/{CONFIGS[head]}.py')
    _shrink(cfg.model)
    if not other.get('zero_norms'):
        cfg.model.backbone.init_cfg = INIT
    _use_data(cfg, head, write_subset(samples, folder / 'coco', 8), size)
    cfg.train_cfg = ConfigDict(
        type='IterBasedTrainLoop', max_iters=iterations, val_interval=interval
    )
    cfg.optim_wrapper = ConfigDict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=other.get('lr', 5e-4), weight_decay=0.0),
        clip_grad=dict(max_norm=other.get('clip', 1.0)),
    )
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.05, end=min(50, iterations), by_epoch=False),
        dict(
            type='CosineAnnealingLR',
            begin=iterations // 2,
            T_max=iterations - iterations // 2,
            eta_min=1e-6,
            by_epoch=False,
        ),
    ]
    cfg.default_hooks.logger.update(
        interval=min(10, max(1, iterations // 6)), log_metric_by_epoch=False
    )
    cfg.default_hooks.checkpoint = ConfigDict(
        type='CheckpointHook', by_epoch=False, interval=iterations
    )
    cfg.log_processor = dict(by_epoch=False)
    cfg.randomness = dict(seed=0)
    return cfg


def _shrink(model: Any) -> None:
    model.backbone.update(arch=ARCH, drop_path_rate=0.0, init_cfg=None, with_cp=False)
    model.backbone.window_size = 8
    channels = [CHANNELS[i] for i in model.backbone.get('out_indices', (0, 1, 2, 3))]
    width = 256 if model.type == 'DINO' else WIDTH
    for node in mappings(model):
        for key in ('embed_dims', 'feat_channels', 'out_channels', 'num_feats'):
            if node.get(key) in (256, 128) and node is not model.backbone:
                node[key] = width if node[key] == 256 else width // 2
        if 'feedforward_channels' in node:
            node.feedforward_channels = 2 * width
        if 'num_layers' in node:
            node.num_layers = 2
        if 'num_queries' in node:
            node.num_queries = 30
    model.test_cfg.update(max_per_img=20)
    if model.type == 'PlainDETR':
        model.num_one_to_many = 60
        model.bbox_head.one_to_many = 3
        model.neck[0].in_channels, model.neck[1].in_channels = channels[0], [channels[0] // 2]
        model.decoder.rpb_hidden_dims = 64
        model.bbox_head.embed_dims = width
    elif model.type == 'DINO':
        model.neck.in_channels = channels
        model.dn_cfg.group_cfg.num_dn_queries = 20
    else:
        model.panoptic_head.in_channels = channels
        model.train_cfg.num_points = 1024
        model.test_cfg.update(max_per_image=20)
        model.data_preprocessor.update(batch_augments=None)


def _use_data(cfg: Any, head: str, root: Path, size: int) -> None:
    panoptic = head.endswith('panoptic')
    if panoptic:
        add_panoptic(root)
    load = dict(type='LoadAnnotations', with_bbox=True, with_mask='former' in head)
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadPanopticMaps') if panoptic else load,
        dict(type='Resize', scale=(size, size), keep_ratio=False),
        dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
        ),
    ]
    file = 'annotations/panoptic_{}.json' if panoptic else 'annotations/{}.json'
    for split, key in (('train', 'train'), ('val', 'val'), ('val', 'test')):
        loader = cfg[f'{key}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.update(data_root=f'{root}/', ann_file=file.format(split), pipeline=steps)
        loader.dataset.data_prefix.img = 'train2017/'
        if panoptic:
            loader.dataset.data_prefix.seg = 'panoptic/'
    cfg.train_dataloader.update(sampler=dict(type='InfiniteSampler'), batch_sampler=None)
    metrics = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
    metrics[-1].ann_file = str(root / 'annotations/val.json')
    if panoptic:
        metrics[0].ann_file = str(root / file.format('val'))
        metrics[0].seg_prefix = str(root / 'panoptic')
    cfg.val_evaluator = cfg.test_evaluator = metrics
