"""A small recognizer overfits real clips: decoding, pipeline and test on 12 views."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from pathlib import Path

import pytest
from commands import ROOT, scalars, succeed
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

pytest.importorskip('mmaction')
from narrow_recognizer import shrink_clips

from swinv2_dense.cli.common import build_runner, check_config

CONFIG = 'configs/video/swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb.py'
ARCH = dict(embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))


def small(root: Path, epochs: int) -> Config:
    """The config at a third of its width, on 8 frames of 64 x 64; tests on 4 clips x 3 crops."""
    cfg = Config.fromfile(ROOT / CONFIG)
    # Weights and norms for few channels, as in the quickstart.
    init = [dict(type='Xavier', layer='Linear'), dict(type='Constant', layer='LayerNorm', val=1.0)]
    cfg.model.backbone.update(arch=ARCH, drop_path_rate=0.0, init_cfg=init)
    cfg.model.cls_head.update(in_channels=256, dropout_ratio=0.0)
    shrink_clips(cfg, 4)
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root='', ann_file=str(root / 'list.txt'))
        loader.dataset.data_prefix = dict(video=str(root))
    cfg.train_dataloader.batch_size = 3
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
    cfg.optim_wrapper = ConfigDict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.0),
        clip_grad=dict(max_norm=5.0),
    )
    half = epochs // 2
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.05, end=2, convert_to_iter_based=True),
        dict(type='CosineAnnealingLR', begin=half, T_max=epochs - half),
    ]
    cfg.default_hooks.logger.interval = 3
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=epochs)
    cfg.randomness = dict(seed=0)
    return cfg


def labels(root: Path) -> list[int]:
    return [int(line.split()[-1]) for line in (root / 'list.txt').read_text().splitlines()]


@pytest.mark.slow
def test_the_loss_falls_below_what_a_blind_model_reaches(samples, tmp_path, monkeypatch):
    """Scores that do not depend on the clip cost at least the entropy of the labels, and hit at
    most the most frequent one.
    """
    root = samples / 'kinetics_mini'
    shares = [count / 9 for count in Counter(labels(root)).values()]
    entropy = -sum(share * math.log(share) for share in shares)
    assert (entropy, max(shares)) == (pytest.approx(1.523, abs=1e-3), 3 / 9)
    cfg = small(root, epochs=12)
    pipeline = cfg.train_dataloader.dataset.pipeline  # the same frames in every epoch: fewer needed
    pipeline[:] = [step for step in pipeline if step.type not in ('RandomResizedCrop', 'Flip')]
    pipeline[1].test_mode = True
    cfg.work_dir = str(tmp_path)
    monkeypatch.setattr(Config, 'pretty_text', 'not formatted here')
    check_config(cfg, ('train', 'test'))
    with DefaultScope.overwrite_default_scope('mmaction'):
        runner = build_runner(cfg)
        runner.train()
        metrics = runner.test()
    losses = [entry['loss'] for entry in scalars(tmp_path) if 'loss' in entry]
    assert losses[0] > 0.9 * math.log(400)
    assert losses[-1] < 0.7 * entropy
    assert metrics['acc/top1'] > max(shares)


@pytest.mark.slow
def test_it_overfits_real_clips(samples, tmp_path):
    small(samples / 'kinetics_mini', epochs=150).dump(tmp_path / 'small.py')
    succeed('train', tmp_path / 'small.py', '--work-dir', tmp_path / 'work', limit=7200)
    checkpoint = tmp_path / 'work' / 'epoch_150.pth'
    args = ['--work-dir', tmp_path / 'test', '--dump', tmp_path / 'scores.pkl']
    succeed('test', tmp_path / 'small.py', checkpoint, *args)
    found = pickle.loads((tmp_path / 'scores.pkl').read_bytes())
    hits = [int(sample['pred_score'].argmax()) for sample in found]
    assert hits == labels(samples / 'kinetics_mini')
