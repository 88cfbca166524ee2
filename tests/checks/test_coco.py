"""The COCO config on real images: training, evaluation, pictures and resuming with the tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import run_here, scalars, succeed

CONFIG = """
_base_ = __import__('swinv2_dense').config_path(
    'detection/htc_swinv2-t-w16_1xb4-bf16-1x_coco.py')
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=24, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8)),
        drop_path_rate=0.0,
        init_cfg=None,
    ),
    neck=dict(in_channels=[24, 48, 96, 192]),
)
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(type='OptimWrapper', accumulative_counts=1)
"""
WIDTH = 32  # channels of neck and heads, 256 in the config


def narrow(samples: Path) -> list[str]:
    """Options that make the config fit a test: fewer channels and pixels, real data."""
    root = samples / 'coco_mini'
    options = [
        f'model.neck.out_channels={WIDTH}',
        f'model.rpn_head.in_channels={WIDTH}',
        f'model.rpn_head.feat_channels={WIDTH}',
        f'model.roi_head.bbox_roi_extractor.out_channels={WIDTH}',
        f'model.roi_head.mask_roi_extractor.out_channels={WIDTH}',
        'model.test_cfg.rpn.max_per_img=20',
        'model.test_cfg.rcnn.max_per_img=5',
        'model.train_cfg.rpn_proposal.nms_pre=200',
        'model.train_cfg.rpn_proposal.max_per_img=50',
        'train_dataloader.dataset.filter_cfg.filter_empty_gt=False',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False',
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
        'train_dataloader.dataset.pipeline.2.scale=(160,128)',
        'val_dataloader.dataset.pipeline.1.scale=(160,128)',
        'test_dataloader.dataset.pipeline.1.scale=(160,128)',
        f'val_evaluator.ann_file={root}/annotations/instances_val2017.json',
        f'test_evaluator.ann_file={root}/annotations/instances_val2017.json',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'param_scheduler.0.end=4',
        'optim_wrapper.optimizer.lr=0.001',
        'default_hooks.logger.interval=2',
        'randomness.seed=0',
    ]
    options += [f'{part}_dataloader.dataset.data_root={root}/' for part in ('train', 'val', 'test')]
    for stage in range(3):
        box, mask = (f'model.roi_head.{head}.{stage}' for head in ('bbox_head', 'mask_head'))
        options += [f'{box}.in_channels={WIDTH}', f'{box}.fc_out_channels=64']
        options += [f'{mask}.{key}={WIDTH}' for key in ('in_channels', 'conv_out_channels')]
        options += [f'model.train_cfg.rcnn.{stage}.sampler.num=64']
    return options


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> str:
    """A user's config in a folder of its own, with a small backbone without weights."""
    path = tmp_path_factory.mktemp('mine') / 'small.py'
    path.write_text(CONFIG)
    return str(path)


@pytest.fixture(scope='module')
def trained(samples, config, tmp_path_factory) -> Path:
    """Work directory after one epoch on all 42 images: crowds, and 3 without an annotation."""
    pytest.importorskip('mmdet')
    work_dir = tmp_path_factory.mktemp('coco')
    printed = succeed('train', config, '--work-dir', work_dir, '--cfg-options', *narrow(samples))
    (work_dir / 'printed.txt').write_text(printed)
    return work_dir


def test_the_loss_falls(trained):
    losses = [entry['loss'] for entry in scalars(trained) if 'loss' in entry]
    assert len(losses) == 10
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])


def test_evaluation_prints_a_table_and_the_folder_of_results(trained):
    printed = (trained / 'printed.txt').read_text()
    assert 'Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all' in printed
    table = printed[printed.index('Results') :]
    assert 'coco/bbox_mAP_50' in table
    assert 'coco/segm_mAP_50' in table
    assert f'Checkpoints, logs and results are in {trained}' in table
    assert 'eta:' in printed


@pytest.mark.slow
def test_a_checkpoint_is_tested_with_pictures(trained, config, samples):
    printed = succeed(
        'test',
        config,
        trained / 'epoch_1.pth',
        *('--work-dir', trained / 'test', '--show-dir', trained / 'pictures'),
        *('--out', trained / 'predictions.pkl'),
        *('--cfg-options', *narrow(samples)),
    )
    assert 'coco/bbox_mAP ' in printed
    assert len(list((trained / 'pictures').glob('*.jpg'))) == 48
    assert (trained / 'predictions.pkl').stat().st_size > 1000
    last = [entry for entry in scalars(trained) if 'coco/bbox_mAP' in entry][-1]
    tested = json.loads(next((trained / 'test').glob('*/*.json')).read_text().splitlines()[-1])
    assert tested['coco/bbox_mAP'] == pytest.approx(last['coco/bbox_mAP'], abs=1e-3)


@pytest.mark.slow
def test_training_is_resumed(trained, config, samples):
    options = [o for o in narrow(samples) if not o.startswith('train_cfg')]
    options += ['train_cfg.max_epochs=2']
    succeed(
        'train',
        config,
        *('--resume', trained / 'epoch_1.pth', '--work-dir', trained / 'resumed'),
        *('--no-validate', '--cfg-options', *options),
    )
    steps = [entry['step'] for entry in scalars(trained / 'resumed')]
    assert steps[0] > 21  # 42 images, batch 2


@pytest.mark.parametrize(
    'option, message',
    [
        ('train_dataloader.dataset.data_root=nowhere/', r"data_root='nowhere/': there is no such"),
        ('model.backbone.arch=x', "arch='x' is unknown"),
        ('model.backbone.window_size=[8,8]', 'window_size=[8, 8] has 2 entries for 4 stages'),
        ('load_from=gone.pth', "load_from='gone.pth': there is no such file"),
    ],
)
def test_a_mistake_ends_in_one_line(samples, config, tmp_path, option, message):
    args = ['--work-dir', str(tmp_path), '--cfg-options', *narrow(samples), option]
    result = run_here('train', config, *args)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith('error: ')
    assert message in result.stderr
    assert 'Traceback' not in result.stderr


def test_a_missing_image_is_reported_before_the_first_step(samples, config, tmp_path):
    root = tmp_path / 'coco'
    for part in ('annotations', 'val2017'):
        (root / part).parent.mkdir(exist_ok=True)
        (root / part).symlink_to(samples / 'coco_mini' / part)
    (root / 'train2017').mkdir()
    for image in sorted((samples / 'coco_mini' / 'train2017').iterdir())[2:]:
        (root / 'train2017' / image.name).symlink_to(image)
    options = [o for o in narrow(samples) if not o.startswith('train_dataloader.dataset.data_root')]
    options += [f'train_dataloader.dataset.data_root={root}/']
    result = run_here(
        'train', config, '--work-dir', str(tmp_path / 'out'), '--cfg-options', *options
    )
    assert result.returncode == 2
    assert 'error: train_dataloader: ' in result.stderr
    assert 'annotated files do not exist, first' in result.stderr
