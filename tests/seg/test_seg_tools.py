"""tools/train.py and tools/test.py on ADE20K with bounded memory: bf16, maps, views, pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import check_start, run_here, scalars, succeed
from PIL import Image

pytest.importorskip('mmseg')

ARCH = dict(embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8))
CONFIG = f"""
_base_ = ['mmseg::_base_/models/upernet_r50.py', 'mmseg::_base_/datasets/ade20k.py',
          'mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_20k.py']
custom_imports = dict(imports=['swinv2_dense', 'swinv2_dense.seg'])
model = dict(
    type='TiledEncoderDecoder',
    pretrained=None,
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(_delete_=True, type='SwinTransformerV2', arch={ARCH}, window_size=4),
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=16, num_classes=150),
    auxiliary_head=dict(in_channels=64, channels=8, num_classes=150),
    test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(43, 43)),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 96), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
data = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root='ROOT', pipeline=pipeline)
)
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root='ROOT',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomCrop', crop_size=(64, 64)),
            dict(type='PackSegInputs'),
        ],
    ),
)
val_dataloader = test_dataloader = data
train_cfg = dict(max_iters=2, val_interval=2)
tta_pipeline = None
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=2),
    visualization=dict(type='SegVisualizationHook'),
)
"""
IMAGES = 6
FIRST = ['--cfg-options', f'test_dataloader.dataset.indices={IMAGES}']


@pytest.fixture(scope='module')
def config(samples, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('mine') / 'mine.py'
    path.write_text(CONFIG.replace('ROOT', str(samples / 'ade20k_mini')))
    return path


@pytest.fixture(scope='module')
def trained(config) -> Path:
    """Work directory after two iterations in bf16, with a classifier that tells classes apart."""
    work_dir = config.parent / 'work'
    options = ['val_dataloader.dataset.indices=1', 'randomness.seed=0']
    printed = succeed('train', config, '--amp', '--work-dir', work_dir, '--cfg-options', *options)
    (work_dir / 'printed.txt').write_text(printed)
    checkpoint = torch.load(work_dir / 'iter_2.pth', weights_only=False)
    checkpoint['state_dict']['decode_head.conv_seg.weight'].normal_()
    torch.save(checkpoint, work_dir / 'iter_2.pth')
    return work_dir


def metrics(work_dir: Path) -> dict:
    return json.loads(next(work_dir.glob('*/*.json')).read_text())


@pytest.mark.slow
def test_upernet_trains_in_bf16_on_the_cpu(trained):
    printed = (trained / 'printed.txt').read_text()
    assert 'Bf16OptimWrapper' in check_start(printed)
    losses = [entry['decode.loss_ce'] for entry in scalars(trained) if 'loss' in entry]
    assert losses[0] == pytest.approx(math.log(150), rel=0.2)
    assert len(losses) == 2 and all(map(math.isfinite, losses))
    assert 'mIoU' in printed[printed.index('Results') :]


def iou(truth: np.ndarray, found: np.ndarray) -> float:
    """mIoU in percent over the classes that occur, by a confusion matrix; 0 in truth is ignored."""
    confusion = np.zeros((151, 151), int)
    np.add.at(confusion, (truth, found), 1)
    confusion[0] = 0
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    occurs = union > 0
    return 100 * (confusion.diagonal()[occurs] / union[occurs]).mean()


def test_metric_maps_and_pictures(trained, config, samples):
    """The maps are what ADE20K's server takes; mIoU is what they give."""
    succeed(
        'test', config, trained / 'iter_2.pth', '--work-dir', trained / 'test',
        '--out', trained / 'maps', '--show-dir', trained / 'shown', *FIRST,
    )  # fmt: skip
    truth, found = [], []
    annotations = samples / 'ade20k_mini' / 'annotations' / 'validation'
    for path in sorted((trained / 'maps').iterdir()):
        with Image.open(path) as file:
            assert (file.format, file.mode) == ('PNG', 'L')
            found.append(np.asarray(file))
        truth.append(np.asarray(Image.open(annotations / path.name)))
        assert found[-1].shape == truth[-1].shape
    assert len(found) == IMAGES
    found = np.concatenate([labels.ravel() for labels in found])
    assert found.min() >= 1 and found.max() <= 150 and len(np.unique(found)) > 5
    expected = iou(np.concatenate([labels.ravel() for labels in truth]), found)
    assert metrics(trained / 'test')['mIoU'] == pytest.approx(expected, abs=0.0051)
    pictures = {path.relative_to(trained / 'shown') for path in (trained / 'shown').rglob('*.*')}
    names = sorted(path.stem for path in annotations.iterdir())[:IMAGES]
    assert pictures == {Path(f'{name}.jpg') for name in names}  # flat, and named as the images


@pytest.mark.slow
def test_views_of_a_set_without_labels(trained, config):
    """A test split: no maps, though the pipeline loads them. Views are made of the pipeline."""
    printed = succeed(
        'test', config, trained / 'iter_2.pth', '--work-dir', trained / 'unlabeled', '--tta',
        '--out', trained / 'unlabeled_maps', '--cfg-options',
        'test_dataloader.dataset.data_prefix.seg_map_path=None',
        'test_dataloader.dataset.indices=2',
    )  # fmt: skip
    assert 'augmented by TiledSegTTAModel' in printed
    assert len(list((trained / 'unlabeled_maps').glob('*.png'))) == 2
    (log,) = (trained / 'unlabeled').glob('*/*.log')
    assert 'format_only=True' in log.read_text()


def test_a_head_that_does_not_fit_ends_in_one_line(config, tmp_path):
    option = 'model.decode_head.num_classes=19'
    result = run_here('train', config, '--work-dir', tmp_path, '--cfg-options', option)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(f'error: {option}, but train_dataloader')
    assert 'Traceback' not in result.stderr


def test_labels_beyond_the_classes_are_found_before_training(config, samples, tmp_path):
    root = tmp_path / 'ade'
    (root / 'annotations' / 'training').mkdir(parents=True)
    (root / 'images').symlink_to(samples / 'ade20k_mini' / 'images')
    (root / 'annotations' / 'validation').symlink_to(
        samples / 'ade20k_mini' / 'annotations' / 'validation'
    )
    for path in (samples / 'ade20k_mini' / 'annotations' / 'training').iterdir():
        labels = np.array(Image.open(path))
        labels[:20] = 151
        Image.fromarray(labels).save(root / 'annotations' / 'training' / path.name)
    option = f'train_dataloader.dataset.data_root={root}'
    result = run_here('train', config, '--work-dir', tmp_path / 'work', '--cfg-options', option)
    assert result.returncode == 2
    assert (
        'error: train_dataloader: 5 label maps contain ids beyond the 150 classes' in result.stderr
    )
