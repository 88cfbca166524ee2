"""The contract of configs/detr."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from coco_tree import write_tree
from mmengine.config import Config
from narrow import shrink_images, use_data
from narrow_detr import narrow_detr
from panoptic_tree import write_panoptic

from . import Contract, Recipe, folder_of, published, train_one_iteration
from .detection import sizes

FOLDER = folder_of('detr')
GRAMMAR = re.compile(
    r'(?P<method>plain-detr(?:-without-rpb|-simmim|-reparam)?|dino-[45]scale|mask2former)'
    r'_swinv2-(?P<arch>[tsbl])-w(?P<window>\d+)_(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<tricks>)'
    r'(?P<length>\d+)(?P<unit>[xe])_coco(?P<dataset>-panoptic)?'
)
# Issue and papers: lr, images per step, weight decay, clipping, drop path.
RECIPES = {
    'plain-detr': (2e-4, 16, 0.05, 0.1, 0.1),
    'dino': (1e-4, 16, 1e-4, 0.1, 0.2),
    'mask2former': (1e-4, 16, 0.05, 0.01, 0.3),
}
PLAIN = 'plain-detr{}_swinv2-s-w16_16xb1-1x_coco'
DINO, MASK = 'dino-{}scale_swinv2-{}-w16_8xb2-{}x_coco', 'mask2former_swinv2-{}-w16_{}_coco{}'
SHORT, LONG = '8xb2-50e', '16xb1-100e'
PUBLISHED = {  # of the row itself for Plain-DETR, of Swin V1 for the others
    PLAIN.format('-without-rpb'): '37.2',
    PLAIN.format(''): '46.1',
    PLAIN.format('-simmim'): '48.7',
    PLAIN.format('-reparam'): '50.9',
    DINO.format(4, 't', 1): '51.3',
    DINO.format(4, 'b', 1): '55.8',
    DINO.format(4, 'l', 1): '56.9',
    DINO.format(5, 'l', 1): '57.2',
    DINO.format(5, 'l', 3): '58.4',
    MASK.format('t', SHORT, ''): '44.7',
    MASK.format('s', SHORT, ''): '46.1',
    MASK.format('t', SHORT, '-panoptic'): '53.4',
    MASK.format('s', SHORT, '-panoptic'): '54.5',
    MASK.format('b', SHORT, '-panoptic'): '55.1',
    MASK.format('l', LONG, '-panoptic'): '57.6',
}


def family(name: str) -> str:
    return next(key for key in RECIPES if name.startswith(key))


def recipe(name: str) -> Recipe:
    lr, batch, weight_decay, *_ = RECIPES[family(name)]
    paramwise = dict(backbone_lr_mult=0.1)
    if re.match('plain-detr-(simmim|reparam)', name):
        paramwise = dict(backbone_lr_mult=1.0, layer_decay=0.9)
    if family(name) == 'mask2former':
        paramwise['no_decay'] = ('query_embed', 'query_feat', 'level_embed')
    return Recipe(lr, batch, weight_decay, paramwise, 12)


def check_content(name: str, cfg: Config, said: re.Match) -> None:
    model, kind = cfg.model, family(name)
    types = {'plain-detr': 'PlainDETR', 'dino': 'DINO', 'mask2former': 'Mask2Former'}
    assert model.type == types[kind]
    assert model.backbone.drop_path_rate == RECIPES[kind][-1]
    if kind == 'plain-detr':
        assert model.backbone.global_blocks == {3: [0, 1]}
        assert model.decoder.get('box_rpb', True) == ('without-rpb' not in name)
        is_pixels = 'reparam' in name
        assert model.coordinates.type == ('PixelBoxes' if is_pixels else 'NormalizedBoxes')
        assert model.positional_encoding.get('normalize', True) != is_pixels
        weight = 1 if is_pixels else 5
        costs = model.train_cfg.assigner.match_costs
        assert [cost.weight for cost in costs] == [2, weight, 2]
        losses = [model.bbox_head[f'loss_{part}'].loss_weight for part in ('cls', 'bbox', 'iou')]
        assert losses == [2, weight, 2]
        is_simmim = 'simmim' in name or is_pixels
        assert ('simmim' in model.backbone.init_cfg.checkpoint) == is_simmim
    elif kind == 'dino':
        scales = int(said['method'][5])
        assert len(model.backbone.out_indices) == scales - 1
        assert model.neck.num_outs == model.get('num_feature_levels', 4) == scales
        levels = model.encoder.layer_cfg.self_attn_cfg, model.decoder.layer_cfg.cross_attn_cfg
        assert [part.num_levels for part in levels] == [scales] * 2
    else:
        head = model.panoptic_head
        assert head.num_queries == (200 if said['arch'] == 'l' else 100)
        stuff = 53 if said['dataset'] else 0
        assert (head.num_things_classes, head.num_stuff_classes) == (80, stuff)
        assert model.panoptic_fusion_head.num_stuff_classes == stuff
        assert len(head.loss_cls.class_weight) == 81 + stuff
        assert model.test_cfg.panoptic_on == bool(stuff)


def check_schedule(name: str, cfg: Config, parts: int) -> None:
    said, kind = GRAMMAR.fullmatch(name), family(name)
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=RECIPES[kind][3], norm_type=2)
    epochs = int(said['length']) * (12 if said['unit'] == 'x' else 1)
    (resize,) = [s for s in cfg.test_dataloader.dataset.pipeline if s.type == 'Resize']
    assert tuple(resize.scale) == (1333, 800)
    if kind == 'mask2former':  # 118,000 images at 16 per step, as mmdet counts
        assert cfg.train_cfg.max_iters == cfg.param_scheduler.end == epochs * 7375
        assert max(sizes(cfg.train_dataloader.dataset.pipeline)) == (1024, 1024)
        return
    assert cfg.train_cfg.max_epochs == epochs
    *warm_up, steps = cfg.param_scheduler
    assert [part.end for part in warm_up] == ([1000] if kind == 'plain-detr' else [])
    assert steps.milestones == ([11] if epochs == 12 else [27, 33])
    scales = sizes(cfg.train_dataloader.dataset.pipeline)
    resized = {short for short, long in scales if long == 1333}
    assert resized == {800, 768, 736, 704, 672, 640, 608, 576, 544, 512, 480}
    assert {short for short, long in scales if long != 1333} == {400, 500, 600}


def check_comment(name: str, comment: str) -> None:
    kind = family(name)
    if kind == 'plain-detr':
        assert 'Table 2' in comment
        expected = published(CONTRACT.load(name), ('coco/bbox_mAP',), tta=False)
        assert expected == PUBLISHED[name]
    else:
        assert 'Not in the paper' in comment
        assert ('number to beat' in comment) == (name in PUBLISHED)
    assert PUBLISHED.get(name, '') in comment


def write_data(root: Path) -> Path:
    from mmdet.datasets import CocoDataset

    return write_panoptic(write_tree(root, CocoDataset.METAINFO['classes']))


def shrink(cfg: Config, tree: Path) -> None:
    narrow_detr(cfg.model)
    shrink_images(cfg, 8)
    panoptic = cfg.train_dataloader.dataset.type == 'CocoPanopticDataset'
    metrics = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    cfg.val_evaluator = cfg.test_evaluator = metrics[-1]
    use_data(cfg, tree, 'annotations/panoptic_{}.json' if panoptic else 'annotations/{}.json')
    metrics[-1].ann_file = str(tree / 'annotations/val.json')
    if panoptic:
        metrics[0].ann_file = str(tree / 'annotations/panoptic_val.json')
        metrics[0].seg_prefix = str(tree / 'annotations/panoptic_val2017')
    cfg.test_evaluator = metrics
    train_one_iteration(cfg)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1000)
    cfg.train_dataloader.update(sampler=dict(type='InfiniteSampler'), batch_size=2)
    cfg.train_dataloader.batch_sampler = None
    cfg.default_hooks.logger.interval = 1


def parts(cfg: Config) -> list[str]:
    return {
        'PlainDETR': ['neck', 'decoder', 'proposals', 'bbox_head', 'query_embedding'],
        'DINO': ['neck', 'encoder', 'decoder', 'bbox_head', 'dn_query_generator'],
        'Mask2Former': ['panoptic_head.pixel_decoder', 'panoptic_head.transformer_decoder'],
    }[cfg.model.type]


def check_test(name: str, cfg: Config, runner: Any, metrics: dict) -> None:
    assert 0 <= metrics['coco/bbox_mAP'] <= 1
    assert ('coco/segm_mAP' in metrics) == (family(name) == 'mask2former')
    assert ('coco_panoptic/PQ' in metrics) == name.endswith('panoptic')


def check_row(name: str, cfg: Config, row: re.Match, entry: dict) -> None:
    assert row['metric'] == PUBLISHED.get(name, '-')
    key = 'Paper' if family(name) == 'plain-detr' else 'Swin V1'
    numbers = [str(v) for v in entry.get(key, {}).values() if isinstance(v, float)]
    assert numbers == ([PUBLISHED[name]] if name in PUBLISHED else [])


CONTRACT = Contract(
    folder=FOLDER,
    scope='mmdet',
    grammar=GRAMMAR,
    recipe=recipe,
    check_content=check_content,
    check_schedule=check_schedule,
    check_comment=check_comment,
    write_data=write_data,
    shrink=shrink,
    parts=parts,
    check_test=check_test,
    row=re.compile(
        r'\| \[(?P<name>.+?)\]\((?P<link>.+?)\.py\) \| (?P<row>.+?) \| (?P<metric>.+?) \| '
        r'(?P<params>[\d.]+) \| (?P<macs>\d+) at (?P<size>\d+ x \d+) \| '
        r'(?P<memory>[\d.]+) \| (?P<status>.+) \|'
    ),
    check_row=check_row,
)
