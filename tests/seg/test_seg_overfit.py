"""UperNet in small learns real images by heart, through its pipeline and mmseg's evaluation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT, scalars, succeed
from mmengine.config import Config, ConfigDict
from narrow_segmentor import use_tree
from PIL import Image

CONFIG = 'configs/segmentation/upernet_swinv2-t-w16_1xb4-bf16-gn-acc4-160k_ade20k-512x512.py'
ARCH = dict(embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))
CHANNELS = [32, 64, 128, 256]


def small(root: Path, size: tuple[int, int], iterations: int, interval: int) -> Config:
    """The config at an eighth of its width, on whole images of `size` (W, H), unaugmented."""
    cfg = Config.fromfile(ROOT / CONFIG)
    # Weights and norms for few channels, as in the quickstart.
    init = [dict(type='Xavier', layer='Linear'), dict(type='Constant', layer='LayerNorm', val=1.0)]
    cfg.model.backbone.update(arch=ARCH, drop_path_rate=0.0, init_cfg=init, with_cp=False)
    cfg.model.decode_head.update(in_channels=CHANNELS, channels=64, dropout_ratio=0.0)
    cfg.model.auxiliary_head.update(in_channels=CHANNELS[2], channels=64, dropout_ratio=0.0)
    cfg.model.data_preprocessor.size = size[::-1]
    use_tree(cfg, root)
    train = cfg.train_dataloader.dataset
    resize = dict(type='Resize', scale=size, keep_ratio=False)
    steps = {step.type: step for step in train.pipeline}
    train.pipeline = [
        *(steps['LoadImageFromFile'], steps['LoadAnnotations'], resize, steps['PackSegInputs']),
    ]
    cfg.train_dataloader.batch_size = 2
    for part in ('val', 'test'):
        dataset = cfg[f'{part}_dataloader'].dataset
        dataset.data_prefix = train.data_prefix
        dataset.pipeline[1] = resize
    cfg.train_cfg.update(max_iters=iterations, val_interval=interval)
    cfg.optim_wrapper = ConfigDict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.0),
        clip_grad=dict(max_norm=5.0),
    )
    half = iterations // 2
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.05, end=min(30, half), by_epoch=False),
        dict(type='CosineAnnealingLR', begin=half, T_max=iterations - half, by_epoch=False),
    ]
    cfg.default_hooks.logger.interval = 10
    cfg.default_hooks.checkpoint.interval = iterations
    cfg.randomness = dict(seed=0)
    return cfg


def train(
    samples: Path, folder: Path, size: tuple[int, int], iterations: int, interval: int
) -> list[dict]:
    """mmengine's log of a training on the five training images of the samples."""
    pytest.importorskip('mmseg')
    cfg = small(samples / 'ade20k_mini', size, iterations, interval)
    cfg.dump(folder / 'small.py')
    succeed('train', folder / 'small.py', '--work-dir', folder / 'work', limit=20 * iterations)
    return scalars(folder / 'work')


@pytest.mark.slow
def test_the_loss_falls_and_evaluation_runs(samples, tmp_path):
    log = train(samples, tmp_path, (160, 128), 60, 60)
    losses = [entry['decode.loss_ce'] for entry in log if 'loss' in entry]
    assert losses[-1] < 0.6 * losses[0]
    assert 0 < log[-1]['mIoU'] <= 100


def mean_iou(maps: Path, truths: Path) -> float:
    """Mean IoU over the classes of `truths` from label maps as ADE20K's server takes them."""
    overlap, union = Counter(), Counter()
    for path in maps.glob('*.png'):
        found = np.asarray(Image.open(path))
        truth = np.asarray(Image.open(truths / path.name))
        found = np.where(truth == 0, 0, found)  # "other" is not evaluated
        for label in range(1, 151):
            overlap[label] += int(((found == label) & (truth == label)).sum())
            union[label] += int(((found == label) | (truth == label)).sum())
    present = {label for path in truths.glob('*.png') for label in np.unique(Image.open(path))}
    return float(np.mean([overlap[label] / union[label] for label in present - {0}]))


@pytest.mark.slow
def test_it_overfits_real_images(samples, tmp_path):
    """mmseg's own mean also counts, as 0, classes that are predicted and do not occur."""
    train(samples, tmp_path, (384, 288), 1000, 250)
    checkpoint = tmp_path / 'work' / 'iter_1000.pth'
    succeed('test', tmp_path / 'small.py', checkpoint, '--out', tmp_path / 'maps')
    truths = samples / 'ade20k_mini' / 'annotations' / 'training'
    assert len(list((tmp_path / 'maps').glob('*.png'))) == len(list(truths.glob('*.png'))) == 5
    assert mean_iou(tmp_path / 'maps', truths) >= 0.85
