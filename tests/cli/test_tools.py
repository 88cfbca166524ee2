"""tools/train.py and tools/test.py for each library, on real samples; detection is in test_coco."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from commands import ROOT, check_start, run_here, scalars, succeed, tool
from video_config import ARCH, VIDEO

from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset

VIDEO_CONFIG = (
    'configs/video/swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb.py'
)
LOADERS = '\n'.join(
    f'{part}_dataloader = dict(num_workers=0, persistent_workers=False)'
    for part in ('train', 'val', 'test')
)
SEGMENTATION = f"""
_base_ = ['mmseg::_base_/models/upernet_r50.py', 'mmseg::_base_/datasets/ade20k.py',
          'mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['swinv2_dense'])
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(_delete_=True, type='SwinTransformerV2', arch={ARCH}, window_size=4),
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=16, num_classes=150),
    auxiliary_head=dict(in_channels=64, channels=8, num_classes=150),
)
{LOADERS}
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4),
    visualization=dict(type='SegVisualizationHook'),
)
"""


def shown(folder: Path) -> list[str]:
    """Names of all files below a folder of pictures."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def test_segmentation(samples, tmp_path):
    pytest.importorskip('mmseg')
    (tmp_path / 'mine.py').write_text(SEGMENTATION)
    root = samples / 'ade20k_mini'
    options = [f'{part}_dataloader.dataset.data_root={root}' for part in ('train', 'val', 'test')]
    options += [f'{part}_dataloader.dataset.indices=4' for part in ('val', 'test')]
    options += ['test_dataloader.dataset.pipeline.1.scale=(128,96)']
    options += ['val_dataloader.dataset.pipeline.1.scale=(128,96)']
    options += ['train_dataloader.dataset.pipeline.3.crop_size=(64,64)']
    work_dir = tmp_path / 'work'
    printed = succeed(
        'train',
        tmp_path / 'mine.py',
        '--work-dir',
        work_dir,
        '--seed',
        0,
        '--cfg-options',
        *options,
    )
    assert 'mIoU' in printed[printed.index('Results') :]
    losses = [entry['decode.loss_ce'] for entry in scalars(work_dir) if 'loss' in entry]
    assert losses[0] == pytest.approx(math.log(150), rel=0.2)
    printed = succeed(
        'test', tmp_path / 'mine.py', work_dir / 'iter_4.pth', '--work-dir', tmp_path / 'test',
        '--out', tmp_path / 'maps', '--show-dir', tmp_path / 'shown', '--cfg-options', *options,
    )  # fmt: skip
    assert 'mIoU' in printed[printed.index('Results') :]
    assert len(list((tmp_path / 'maps').glob('*.png'))) == 4
    images = (root / 'images' / 'validation').iterdir()
    assert shown(tmp_path / 'shown') == sorted(path.name for path in images)[:4]
    missing = tool('train', tmp_path / 'mine.py', '--work-dir', tmp_path / 'x')
    assert missing.returncode == 2
    assert "data_root='data/ade/ADEChallengeData2016': there is no such folder" in missing.stderr


def test_video(samples, tmp_path):
    pytest.importorskip('decord')
    root = samples / 'kinetics_mini'
    text = VIDEO.replace('LIST', str(root / 'list.txt')).replace('VIDEOS', str(root))
    (tmp_path / 'mine.py').write_text(text)
    work_dir = tmp_path / 'work'
    printed = succeed('train', tmp_path / 'mine.py', '--work-dir', work_dir, '--deterministic')
    assert 'acc/top1' in printed[printed.index('Results') :]
    assert 'classes       400' in check_start(printed)
    losses = [entry['loss'] for entry in scalars(work_dir) if 'loss' in entry]
    assert losses[0] == pytest.approx(math.log(400), rel=0.2)
    printed = succeed(
        'test', tmp_path / 'mine.py', work_dir / 'epoch_1.pth', '--work-dir', tmp_path / 'test',
        '--dump', tmp_path / 'scores.pkl', '--show-dir', tmp_path / 'shown',
    )  # fmt: skip
    assert 'acc/top5' in printed[printed.index('Results') :]
    assert (tmp_path / 'scores.pkl').stat().st_size > 9 * 400 * 4
    videos = [line.split()[0] for line in (root / 'list.txt').read_text().splitlines()]
    expected = sorted(str(Path(video).with_suffix('.jpg')) for video in videos)
    assert shown(tmp_path / 'shown') == expected
    (tmp_path / 'mine.py').write_text(
        text.replace(str(root / 'list.txt'), str(tmp_path / 'no.txt'))
    )
    missing = tool('train', tmp_path / 'mine.py', '--work-dir', tmp_path / 'x')
    assert missing.returncode == 2
    assert 'dataset.ann_file=' in missing.stderr


def test_detection_in_bf16_on_the_cpu(tmp_path):
    """--amp trains and tests where mmengine's own wrapper refuses."""
    pytest.importorskip('mmdet')
    write_dataset(tmp_path / 'shapes', ShapesSpec(train=4, val=2))
    (config,) = ROOT.glob('configs/quickstart/htc*.py')
    options = [
        f'{p}_dataloader.dataset.data_root={tmp_path}/shapes/' for p in ('train', 'val', 'test')
    ]
    options += [f'{p}_dataloader.num_workers=0' for p in ('train', 'val', 'test')]
    options += [f'{p}_dataloader.persistent_workers=False' for p in ('train', 'val', 'test')]
    annotations = tmp_path / 'shapes' / 'annotations' / 'instances_val.json'
    options += [f'{p}_evaluator.ann_file={annotations}' for p in ('val', 'test')]
    options += [
        'train_cfg.max_iters=2',
        'param_scheduler.0.end=1',
        'param_scheduler.1.begin=1',
        'train_cfg.val_interval=2',
        'train_dataloader.batch_size=2',
    ]
    options += ['default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=2']
    work_dir = tmp_path / 'work'
    printed = succeed('train', config, '--amp', '--work-dir', work_dir, '--cfg-options', *options)
    start = check_start(printed)
    assert re.search(r'training +4 images, \d+ objects, in ', start)
    assert 'batch         2 samples per step, Bf16OptimWrapper, 0 workers' in start
    assert 'classes       6: disc, ring' in start
    losses = [entry['loss'] for entry in scalars(work_dir) if 'loss' in entry]
    assert len(losses) == 2 and all(map(math.isfinite, losses))
    printed = succeed(
        'test', config, work_dir / 'iter_2.pth', '--amp', '--work-dir', tmp_path / 'test',
        '--cfg-options', *options,
    )  # fmt: skip
    assert 'coco/segm_mAP' in printed[printed.index('Results') :]
    assert f'weights       {work_dir / "iter_2.pth"}' in check_start(printed)
    metrics = json.loads(next((tmp_path / 'test').glob('*/*.json')).read_text())
    assert 0 <= metrics['coco/bbox_mAP'] <= 1


def test_a_config_that_names_classes_needs_no_scope(tmp_path):
    pytest.importorskip('mmdet')
    (tmp_path / 'classes.py').write_text(
        'from mmdet.datasets import CocoDataset\n'
        'from mmdet.models import RetinaNet\n'
        'model = dict(type=RetinaNet)\n'
        'train_dataloader = dict(dataset=dict(type=CocoDataset, data_root="data/coco/"))\n'
    )
    result = run_here('train', tmp_path / 'classes.py', '--work-dir', tmp_path / 'work')
    assert result.returncode == 2
    assert "data_root='data/coco/': there is no such folder" in result.stderr


@pytest.mark.parametrize(
    'command, message',
    [
        (['train', 'no.py'], "error: config 'no.py' does not exist"),
        (['test', '{config}', 'no.pth'], "error: CHECKPOINT='no.pth': there is no such file"),
        (['train', '{config}', '--cfg-options', 'default_scope=mmpose'], "scope='mmpose'"),
        (['test', '{config}', '{weights}', '--out', 'x.json'], "--out='x.json' must end in .pkl"),
        (['test', '{config}', '{config}'], 'is a config; the order is CONFIG CHECKPOINT'),
        (
            ['test', VIDEO_CONFIG, '{weights}', '--tta'],
            'error: --tta needs tta_model and tta_pipeline in the config',
        ),
    ],
)  # fmt: skip
def test_wrong_use_ends_in_one_line(command, message, tmp_path):
    weights = tmp_path / 'x.pth'
    torch.save({}, weights)
    config = 'configs/detection/htc_swinv2-t-w16_1xb4-bf16-1x_coco.py'
    names = dict(config=config, weights=weights)
    result = run_here(*(word.format_map(names) for word in command))
    assert result.returncode == 2
    assert message in result.stderr
    assert 'Traceback' not in result.stderr
