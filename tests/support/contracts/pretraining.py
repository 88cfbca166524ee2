"""The contract of configs/pretraining."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from narrow import ARCH
from narrow_simmim import shrink_steps, write_images, write_videos

from swinv2_dense.costs.input_size import training_size
from swinv2_dense.tasks import task_of

from . import Contract, Recipe, folder_of, train_one_iteration

FOLDER = folder_of('pretraining')
GRAMMAR = re.compile(
    r'simmim_swinv2-(?P<arch>[tsblg])(?:-p(?P<patch>\d+))?-w(?P<window>\d+(?:x\d+x\d+)?)_'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<tricks>(?:(?:bf16|fsdp)-)*)'
    r'(?:(?P<clip>\d+)x(?P<interval>\d+)x1-)?(?P<epochs>\d+)e_'
    r'(?P<dataset>in1k|in22k-ext|k400)-(?P<size>\d+)'
)
ROOTS = {
    'in1k': ('data/imagenet/', dict(img_path='train')),
    'in22k-ext': ('data/imagenet22k-ext/', None),
    'k400': ('data/kinetics400/', dict(video='videos_train')),
}
# The official configs: lr per 512 images, weight decay, batch, epochs, warm-up in epochs; clipping.
OFFICIAL, VIDEO = (1e-4, 0.05, 2048, 800, 10, 5.0), (1e-4, 0.05, 256, 200, 10, 5.0)
GIANT = (1.4e-3 * 512 / 9216, 0.1, 9216, 20, 30000, 100.0)  # appendix A2.2; warm-up in steps
RELEASED = {'s': '84.08', 'b': '85.04', 'l': '85.91'}  # top-1 after fine-tuning


def settings(name: str) -> tuple:
    said = GRAMMAR.fullmatch(name)
    return GIANT if said['arch'] == 'g' else VIDEO if said['clip'] else OFFICIAL


def recipe(name: str) -> Recipe:
    lr, decay, batch, epochs, *_ = settings(name)
    return Recipe(round(lr * batch / 512, 10), batch, decay, {}, epochs)


def check_content(name: str, cfg: Config, said: re.Match) -> None:
    model, size = cfg.model, int(said['size'])
    is_video = said['clip'] is not None
    assert (model.type, model.backbone.drop_path_rate) == ('SimMIM', 0.1)
    assert is_video == (model.backbone.type == 'VideoSwinTransformerV2')
    assert cfg.train_cfg.max_epochs == int(said['epochs'])
    dataset = cfg.train_dataloader.dataset
    assert (dataset.data_root, dataset.get('data_prefix')) == ROOTS[said['dataset']]
    expected = (int(said['clip']), size, size) if is_video else (size, size)
    assert training_size(cfg, task_of(cfg)) == expected
    last = cfg.model.backbone.pretrained_window_sizes[-1]
    assert last == ((8, size // 32, size // 32) if is_video else size // 32)
    for split in ('train', 'val', 'test'):
        steps = {step.type: step for step in cfg[f'{split}_dataloader'].dataset.pipeline}
        mask = steps['RandomUnitMask']
        assert (mask.ratio, mask.get('tubes', False)) == (0.6, is_video)
        assert mask.unit == ((2, 32, 32) if is_video else 32)
        assert mask.get('fixed', False) == (split != 'train')
    if is_video:
        sampling = steps['mmaction.SampleFrames']
        given = sampling.clip_len, sampling.frame_interval
        assert given == (int(said['clip']), int(said['interval']))
        return
    crop = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}['RandomResizedCrop']
    assert (crop.scale, crop.ratio, crop.interpolation) == ((0.67, 1), (3 / 4, 4 / 3), 'bilinear')


def check_schedule(name: str, cfg: Config, parts: int) -> None:
    lr, _, batch, epochs, warm_up, norm = settings(name)
    assert cfg.optim_wrapper.clip_grad.max_norm == norm
    first, second = cfg.param_scheduler
    assert (first.type, first.end) == ('LinearLR', warm_up)
    assert first.start_factor == pytest.approx(5e-7 / 1e-4)
    if norm == 100:
        assert (second.type, second.T_max, first.by_epoch) == ('CosineAnnealingLR', epochs, False)
    else:
        assert first.convert_to_iter_based
        assert (second.type, second.gamma) == ('MultiStepLR', 0.1)
        assert second.milestones == [epochs * 7 // 8]


def check_comment(name: str, comment: str) -> None:
    said = GRAMMAR.fullmatch(name)
    assert 'Assumed' in comment
    assert RELEASED.get(said['arch'], '') in comment
    if said['clip'] or said['arch'] == 't':
        assert re.search(r'[Nn]ot\W+in\W+the\W+paper', comment)
    elif said['arch'] == 'g':
        assert 'appendix A2.2' in comment
    else:
        assert 'official' in comment


def write_data(root: Path) -> dict[str, Path]:
    return {
        'UnlabeledImages': write_images(root / 'images', 4),
        'UnlabeledVideos': write_videos(root / 'videos'),
    }


def shrink(cfg: Config, data: dict[str, Path]) -> None:
    train_one_iteration(cfg)
    cfg.model.backbone.arch = ARCH
    shrink_steps(cfg)
    for part in ('train', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.data_root = str(data[loader.dataset.type])
        loader.dataset.pop('data_prefix', None)
        loader.dataset.part = 'all'
    cfg.train_dataloader.dataset.indices = 2
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)


def check_test(name: str, cfg: Config, runner: Any, metrics: dict) -> None:
    assert 0 < metrics['simmim/masked_l1'] < 3


def check_row(name: str, cfg: Config, row: re.Match, entry: dict) -> None:
    said = GRAMMAR.fullmatch(name)
    released = '-' if said['clip'] else RELEASED.get(said['arch'], '-')
    assert row['metric'] == released
    assert str(entry.get('Released', {}).get('Top 1 Accuracy', '-')) == released
    assert entry['Metadata']['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    assert entry['Metadata']['Epochs'] == cfg.train_cfg.max_epochs
    assert entry['Metadata']['Training Size'] == list(training_size(cfg, task_of(cfg)))


CONTRACT = Contract(
    folder=FOLDER,
    scope='swinv2_pretraining',
    grammar=GRAMMAR,
    recipe=recipe,
    check_content=check_content,
    check_schedule=check_schedule,
    check_comment=check_comment,
    write_data=write_data,
    shrink=shrink,
    parts=lambda cfg: ['decoder', 'mask_token'],
    check_test=check_test,
    row=re.compile(
        r'\| \[(?P<name>.+?)\]\((?P<link>.+?)\.py\) \| (?P<row>.+?) \| (?P<metric>[-\d.]+) \| '
        r'(?P<params>[\d.]+) \| (?P<macs>\d+) at (?P<size>\d+ x \d+(?: x \d+)?) \| '
        r'(?P<memory>[\d.]+) \| (?P<status>.+) \|'
    ),
    check_row=check_row,
)
