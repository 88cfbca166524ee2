"""The contract of configs/segmentation."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config
from narrow_segmentor import narrow_segmentor, use_tree, write_segmentation_tree
from narrow_segmentor import shrink as shrink_pixels

from . import Contract, Recipe, folder_of, published, train_one_iteration

FOLDER = folder_of('segmentation')
GRAMMAR = re.compile(
    r'(?P<method>upernet|mask2former)_swinv2-(?P<arch>[tsblg])-w(?P<window>\d+)_(?P<gpus>\d+)xb(?P<batch>\d+)-'
    r'(?P<tricks>(?:(?:bf16|fsdp|test|gn|acc\d+)-)*)(?P<length>\d+)k_'
    r'(?P<dataset>ade20k|cityscapes)-(?P<height>\d+)x(?P<width>\d+)'
)
DATASETS = {'ade20k': ('ADE20KDataset', 150), 'cityscapes': ('CityscapesDataset', 19)}
# Tables 1 and 4; appendices A1, A2: lr, images per step, layer decay, steps, steps of warm-up, drop
# path. The configs of our own use those of the ablation.
ABLATION = (4e-5, 16, 0.95, 160000, 1500, 0.3)
LARGE, GIANT = (6e-5, 64, 1.0, 40000, 375, 0.3), (4e-5, 32, 1.0, 80000, 750, 0.4)
CITYSCAPES = (4e-5, 8, 0.95, 80000, 1500, 0.3)
MASK2FORMER = (1e-4, 16, 1.0, 160000, None, 0.3)  # mmseg's for Swin V1
TO_BEAT = {'t': '48.66', 's': '51.24', 'b': '53.9', 'l': '56.01'}  # Swin V1 with Mask2Former
PUBLISHED = {  # recipe; mIoU of single-scale / multi-scale tests
    'upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512': (ABLATION, '47.0 / -'),
    'upernet_swinv2-t-w20_8xb2-160k_ade20k-512x512': (ABLATION, '47.7 / -'),
    'upernet_swinv2-t-w32_8xb2-160k_ade20k-512x512': (ABLATION, '47.8 / -'),
    'upernet_swinv2-t-w20_8xb2-test-160k_ade20k-512x512': (ABLATION, '47.7 / -'),
    'upernet_swinv2-t-w32_8xb2-test-160k_ade20k-512x512': (ABLATION, '47.8 / -'),
    'upernet_swinv2-l-w40_32xb2-40k_ade20k-640x640': (LARGE, '- / 55.9'),
    'upernet_swinv2-l-w40_4xb2-bf16-gn-acc8-40k_ade20k-640x640': (LARGE, '- / 55.9'),
    'upernet_swinv2-g-w40_16xb2-bf16-fsdp-80k_ade20k-640x640': (GIANT, '59.1 / -'),
    'upernet_swinv2-g-w56_16xb2-bf16-fsdp-test-80k_ade20k-896x896': (GIANT, '59.3 / 59.9'),
}


def settings(name: str) -> tuple:
    if name.startswith('mask2former'):
        return MASK2FORMER
    return PUBLISHED.get(name, (CITYSCAPES if 'cityscapes' in name else ABLATION,))[0]


def recipe(name: str) -> Recipe:
    lr, batch, layer_decay, steps, *_ = settings(name)
    paramwise = dict(layer_decay=layer_decay)
    if name.startswith('mask2former'):
        no_decay = ('query_embed', 'query_feat', 'level_embed')
        paramwise = dict(backbone_lr_mult=0.1, no_decay=no_decay)
    return Recipe(lr, batch, 0.05, paramwise, steps)


def check_content(name: str, cfg: Config, said: re.Match) -> None:
    model, tricks = cfg.model, said['tricks'].split('-')
    found = re.search(r'-acc(\d+)-', name)
    parts = int(found[1]) if found else 1
    assert model.type == 'TiledEncoderDecoder'
    assert cfg.optim_wrapper.get('accumulative_counts', 1) == parts
    assert cfg.train_cfg.max_iters == int(said['length']) * 1000 * parts
    kind, num_classes = DATASETS[said['dataset']]
    assert cfg.train_dataloader.dataset.type == kind
    size = (int(said['height']), int(said['width']))
    if 'test' in tricks and model.test_cfg.mode == 'slide':
        assert size == tuple(model.test_cfg.crop_size)
    else:
        (crop,) = [s for s in cfg.train_dataloader.dataset.pipeline if s.type == 'RandomCrop']
        assert size == tuple(crop.crop_size) == tuple(model.data_preprocessor.size)
    if said['method'] == 'mask2former':
        check_mask2former(model)
        return
    for key, theirs in heads_of_mmseg().items():
        head = model[key]
        assert head.num_classes == num_classes
        assert head.norm_cfg.type == ('GN' if 'gn' in tricks else 'SyncBN')
        changed = ('in_channels', 'num_classes', 'norm_cfg')  # else they are mmseg's for Swin
        ours = {k: v for k, v in head.to_dict().items() if k not in changed}
        assert ours == {k: v for k, v in theirs.items() if k not in changed}


def check_mask2former(model: Any) -> None:
    """The head is mmseg's, except for the channels of the backbone."""
    swin = 'mask2former/mask2former_swin-t_8xb2-160k_ade20k-512x512.py'
    theirs = Config.fromstring(f"_base_ = 'mmseg::{swin}'", '.py').model.decode_head.to_dict()
    ours = model.decode_head.to_dict()
    channels = model.backbone.arch, ours.pop('in_channels')[0]
    assert channels in {('t', 96), ('s', 96), ('b', 128), ('l', 192)}
    assert ours == {key: value for key, value in theirs.items() if key != 'in_channels'}


@functools.cache
def heads_of_mmseg() -> dict[str, dict]:
    swin = 'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'
    model = Config.fromstring(f"_base_ = 'mmseg::{swin}'", '.py').model
    return {key: model[key].to_dict() for key in ('decode_head', 'auxiliary_head')}


def check_schedule(name: str, cfg: Config, parts: int) -> None:
    *_, steps, warm_up, drop_path = settings(name)
    assert cfg.train_cfg.max_iters == steps * parts
    if name.startswith('mask2former'):
        (poly,) = cfg.param_scheduler
        assert (poly.type, poly.power, poly.end) == ('PolyLR', 0.9, steps)
        assert cfg.optim_wrapper.clip_grad == dict(max_norm=0.01, norm_type=2)
        assert cfg.model.backbone.drop_path_rate == drop_path
        return
    first, second = cfg.param_scheduler
    assert (first.type, first.end, first.by_epoch) == ('LinearLR', warm_up * parts, False)
    assert (second.type, second.power, second.by_epoch) == ('PolyLR', 1.0, False)
    assert (second.begin, second.end, second.get('eta_min', 0)) == (first.end, steps * parts, 0)
    assert cfg.model.backbone.drop_path_rate == drop_path
    names = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert {'RandomFlip', 'PhotoMetricDistortion'} < set(names)
    resize = cfg.train_dataloader.dataset.pipeline[names.index('RandomResize')]
    assert resize.ratio_range == (0.5, 2.0)


def check_comment(name: str, comment: str) -> None:
    if name.startswith('mask2former'):
        assert f'The number to beat is mIoU {TO_BEAT[name.split("-")[1]]}' in comment
    if name not in PUBLISHED:
        assert re.search(r'[Nn]ot\W+in\W+the\W+paper', comment)
        return
    assert 'Table 1' in comment or 'Table 4' in comment
    if 'test' not in name and 'acc' not in name:
        assert 'Assumed' in comment


def write_data(root: Path) -> dict[str, Path]:
    return {kind: write_segmentation_tree(root / kind, kind) for kind, _ in DATASETS.values()}


def shrink(cfg: Config, trees: dict[str, Path]) -> None:
    narrow_segmentor(cfg.model)
    shrink_pixels(cfg, 8)
    use_tree(cfg, trees[cfg.train_dataloader.dataset.type])
    train_one_iteration(cfg)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1000)
    cfg.train_dataloader.batch_size = 2
    cfg.default_hooks.logger.interval = 1


def check_test(name: str, cfg: Config, runner: Any, metrics: dict) -> None:
    assert 0 <= metrics['mIoU'] <= 100


def check_row(name: str, cfg: Config, row: re.Match, entry: dict) -> None:
    assert row['metric'] == PUBLISHED.get(name, (None, '- / -'))[1]
    paper = entry.get('Paper', {})
    assert row['metric'] == ' / '.join(published(cfg, ('mIoU',), tta) for tta in (False, True))
    assert row['metric'] == f'{paper.get("mIoU", "-")} / {paper.get("mIoU (ms)", "-")}'
    assert entry['Metadata']['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    parts = cfg.optim_wrapper.get('accumulative_counts', 1)
    assert entry['Metadata']['Steps'] == cfg.train_cfg.max_iters // parts


CONTRACT = Contract(
    folder=FOLDER,
    scope='mmseg',
    grammar=GRAMMAR,
    recipe=recipe,
    check_content=check_content,
    check_schedule=check_schedule,
    check_comment=check_comment,
    write_data=write_data,
    shrink=shrink,
    parts=lambda cfg: [key for key in ('decode_head', 'auxiliary_head') if key in cfg.model],
    check_test=check_test,
    row=re.compile(
        r'\| \[(?P<name>.+?)\]\((?P<link>.+?)\.py\) \| (?P<row>.+?) \| (?P<metric>.+?) \| '
        r'(?P<params>[\d.]+) \| (?P<macs>\d+) at (?P<size>\d+ x \d+) \| '
        r'(?P<memory>[\d.]+) \| (?P<status>.+) \|'
    ),
    check_row=check_row,
)
