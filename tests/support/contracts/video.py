"""The contract of configs/video."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config
from narrow_recognizer import narrow_recognizer, shrink_clips, use_clips, write_clips

from swinv2_dense.costs.input_size import training_size
from swinv2_dense.tasks import task_of

from . import Contract, Recipe, folder_of, published, train_one_iteration

FOLDER = folder_of('video')
GRAMMAR = re.compile(
    r'swinv2-(?P<arch>tiny|small|base|large|giant)-p244-w(?P<window>888|\d+x\d+x\d+)_'
    r'(?:(?P<weights>in1k|in22k|k400)-pre_)?(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<tricks>bf16-'
    r'(?:fsdp-)?)(?:acc(?P<parts>\d+)-)?(?:test-(?P<views>\dx\d)-)?'
    r'(?P<sampling>\d+x\dx1|u32)-(?P<epochs>\d+)e_'
    r'(?P<dataset>kinetics[467]00|sthv2)-rgb(?:-(?P<size>\d+))?'
)
CLASSES = {'kinetics400': 400, 'kinetics600': 600, 'kinetics700': 700, 'sthv2': 174}
WIDTHS = {'tiny': 768, 'small': 768, 'base': 1024, 'large': 1536, 'giant': 4096}
# Video Swin (arXiv 2106.13230, and mmaction2's configs for it) and appendix A2.2: lr, weight decay,
# drop path, clips per step, epochs, epochs of warm-up.
RECIPES = {
    'tiny': (1e-3, 0.02, 0.1, 64, 30, 2.5),
    'small': (1e-3, 0.02, 0.2, 64, 30, 2.5),
    'base in1k': (1e-3, 0.05, 0.3, 64, 30, 2.5),
    'base in22k': (3e-4, 0.05, 0.2, 64, 30, 2.5),
    'large': (1e-3, 0.05, 0.4, 64, 30, 2.5),
    'large 700': (1e-3, 0.05, 0.4, 128, 30, 2.5),
    'base sthv2': (3e-4, 0.05, 0.4, 64, 60, 2.5),
    'giant 256': (3.6e-4, 0.1, 0.4, 80, 20, 2.5),
    'giant 320': (5e-5, 0.1, 0.4, 64, 5, 1),
    'giant 384': (5e-5, 0.1, 0.4, 64, 5, 1),
}
G = 'swinv2-giant-p244-w8x{}_32xb2-bf16-fsdp-{}16x4x1-5e_kinetics400-rgb-{}'
PUBLISHED = {  # top-1, Table 5
    G.format('20x20', '', 320): '83.2',
    G.format('24x24', 'test-1x1-', 384): '83.4',
    G.format('24x24', 'test-4x5-', 384): '86.8',
}


def settings(name: str) -> tuple:
    said = GRAMMAR.fullmatch(name)
    keys = {
        'base': f'base {"sthv2" if said["dataset"] == "sthv2" else said["weights"]}',
        'large': 'large 700' if '700' in said['dataset'] else 'large',
        'giant': f'giant {said["size"] or 256}',
    }
    return RECIPES[keys.get(said['arch'], said['arch'])]


def recipe(name: str) -> Recipe:
    lr, decay, _, batch, epochs, _ = settings(name)
    return Recipe(lr, batch, decay, dict(backbone_lr_mult=0.1), epochs)


def steps_of(cfg: Config, split: str) -> dict[str, dict]:
    return {step.type: step for step in cfg[f'{split}_dataloader'].dataset.pipeline}


def check_content(name: str, cfg: Config, said: re.Match) -> None:
    backbone, head = cfg.model.backbone, cfg.model.cls_head
    assert cfg.model.type == 'ChunkedRecognizer3D'
    assert backbone.type == 'VideoSwinTransformerV2'
    weights = backbone.init_cfg.checkpoint if backbone.init_cfg else cfg.load_from
    marks = {'in1k': 'window8_256.pth', 'in22k': 'window12_192_22k.pth', 'k400': 'kinetics400'}
    assert marks.get(said['weights'], 'kinetics400') in weights if weights else 'giant' in name
    assert backbone.init_cfg is None or said['arch'] in weights
    assert cfg.optim_wrapper.get('accumulative_counts', 1) == int(said['parts'] or 1)
    assert cfg.train_cfg.max_epochs == int(said['epochs'])
    assert head.num_classes == CLASSES[said['dataset']]
    assert head.in_channels == WIDTHS[said['arch']]
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == f'data/{said["dataset"]}/'
    check_pipelines(name, cfg, said)
    check_tokens(cfg, said)
    if cfg.load_from:  # what another config trains
        folder, file = Path(cfg.load_from).parts[-2:]
        assert cfg.load_from.startswith('work_dirs/')
        assert file == f'epoch_{CONTRACT.load(folder).train_cfg.max_epochs}.pth'


def check_pipelines(name: str, cfg: Config, said: re.Match) -> None:
    size = int(said['size'] or 256)
    for split in ('train', 'val', 'test'):
        steps = steps_of(cfg, split)
        kind = 'UniformSample' if said['sampling'] == 'u32' else 'SampleFrames'
        sampling = steps[kind]
        if kind == 'SampleFrames':
            given = (sampling.clip_len, sampling.frame_interval)
            assert given == tuple(map(int, said['sampling'].split('x')[:2]))
            clips = {'train': 1, 'val': 1}.get(split, 1 if 'giant' in name else 4)
            clips = int(said['views'][0]) if said['views'] and split == 'test' else clips
            assert sampling.num_clips == clips
        assert bool(sampling.get('test_mode')) == (split != 'train')
        if said['views'] and split != 'test':
            continue  # those of the config that it tests
        if split == 'train':
            resizes = [s for s in cfg.train_dataloader.dataset.pipeline if s.type == 'Resize']
            assert [s.scale for s in resizes] == [(-1, round(size * 8 / 7)), (size, size)]
            assert ('Flip' in steps) == (said['dataset'] != 'sthv2')
        else:
            crop = next(s for s in steps.values() if s.type.endswith(('Crop', 'Crops')))
            assert (steps['Resize'].scale, crop.crop_size) == ((-1, size), size)
            if split == 'val' or '1x1' in name or ('giant' in name and not said['views']):
                assert crop.type == 'CenterCrop'
            else:
                assert crop.get('num_crops', 3) == int((said['views'] or '4x3')[2])


def check_tokens(cfg: Config, said: re.Match) -> None:
    """x 8 of the paper: 8 tokens in time, all in one window; in space 1/16 of the size."""
    clip = 32 if said['sampling'] == 'u32' else int(said['sampling'].split('x')[0])
    window = cfg.model.backbone.window_size
    if said['arch'] == 'giant':
        assert clip // 2 == window[0] == 8
    if window[1] != 8:  # T, S and B keep the window of their weights, 8 at 256
        assert int(said['size'] or 256) == 16 * window[1] == 16 * window[2]


def check_schedule(name: str, cfg: Config, parts: int) -> None:
    _, _, drop_path, batch, epochs, warm_up = settings(name)
    assert (cfg.auto_scale_lr.base_batch_size, cfg.train_cfg.max_epochs) == (batch, epochs)
    first, second = cfg.param_scheduler
    assert (first.type, first.end, first.start_factor) == ('LinearLR', warm_up, 0.1)
    assert (second.type, second.T_max, second.eta_min) == ('CosineAnnealingLR', epochs, 0)
    assert cfg.model.backbone.drop_path_rate == drop_path
    assert cfg.model.cls_head.dropout_ratio == 0.5
    smoothing = 0.1 if 'sthv2' in name else 0
    assert cfg.model.cls_head.get('label_smooth_eps', 0) == smoothing
    assert ('VideoRandAugment' in steps_of(cfg, 'train')) == ('sthv2' in name)


def check_comment(name: str, comment: str) -> None:
    if 'acc' not in name and 'test-1x1' not in name:
        assert 'Assumed' in comment
    if 'giant' not in name:
        assert re.search(r'[Nn]ot\W+in\W+the\W+(SwinV2\W+)?paper', comment)
        return
    if not GRAMMAR.fullmatch(name)['size']:
        assert '"x 8" counts tokens, 16 frames in patches of 2' in comment
    assert 'Table 5' in comment


def write_data(root: Path) -> Path:
    return write_clips(root, last=173)


def shrink(cfg: Config, clips: Path) -> None:
    narrow_recognizer(cfg.model)
    shrink_clips(cfg)
    use_clips(cfg, clips)
    train_one_iteration(cfg)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)


def check_test(name: str, cfg: Config, runner: Any, metrics: dict) -> None:
    views = math.prod(map(int, (GRAMMAR.fullmatch(name)['views'] or '4x3').split('x')))
    if 'giant' in name and '-test-' not in name:
        views = 1
    elif 'sthv2' in name:
        views = 3
    assert len(runner.test_loop.dataloader.dataset[0]['inputs']) == views
    assert 0 <= metrics['acc/top1'] <= metrics['acc/top5'] <= 1


def check_row(name: str, cfg: Config, row: re.Match, entry: dict) -> None:
    assert row['metric'] == PUBLISHED.get(name, '-')
    assert str(entry.get('Paper', {}).get('Top 1 Accuracy', '-')) == row['metric']
    assert row['metric'] == published(cfg, ('acc/top1',), tta=False)
    assert entry['Metadata']['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    assert entry['Metadata']['Epochs'] == cfg.train_cfg.max_epochs
    assert entry['Metadata']['Training Size'] == list(training_size(cfg, task_of(cfg)))
    steps = steps_of(cfg, 'test')
    clips = steps['SampleFrames'].num_clips if 'SampleFrames' in steps else 1
    crops = 3 if 'ThreeCrop' in steps else steps.get('UniformCrops', {}).get('num_crops', 1)
    assert row['views'] == f'{clips} x {crops}'


CONTRACT = Contract(
    folder=FOLDER,
    scope='mmaction',
    grammar=GRAMMAR,
    recipe=recipe,
    check_content=check_content,
    check_schedule=check_schedule,
    check_comment=check_comment,
    write_data=write_data,
    shrink=shrink,
    parts=lambda cfg: ['cls_head'],
    check_test=check_test,
    row=re.compile(
        r'\| \[(?P<name>.+?)\]\((?P<link>.+?)\.py\) \| (?P<row>.+?) \| (?P<metric>[-\d.]+) \| '
        r'(?P<params>[\d.]+) \| (?P<macs>\d+) at (?P<size>\d+ x \d+ x \d+) \| '
        r'(?P<views>\d x \d) \| (?P<memory>[\d.]+) \| (?P<status>.+) \|'
    ),
    check_row=check_row,
)
