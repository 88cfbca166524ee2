"""Runs of very small models whose blocks are not idle, to export."""

from __future__ import annotations

from pathlib import Path

import torch
from commands import ROOT
from mmengine.config import Config
from narrow_classifier import use_folders, write_class_folders
from quickstart_runs import write_run
from random_models import save_random

ARCH = dict(embed_dims=16, depths=(2,), num_heads=(2,))  # the second block is shifted
NAMES = ['ant', 'bee', 'cow', 'dog', 'eel', 'fox']


def wake(weights: Path) -> None:
    """Give the norms of blocks, which start at zero, and all matrices weights that matter."""
    torch.manual_seed(1)
    checkpoint = torch.load(weights, weights_only=True)
    for key, value in checkpoint['state_dict'].items():
        if 'norm' in key and key.endswith('weight') and 'backbone' in key:
            value.copy_(1 + 0.3 * torch.randn_like(value))
        elif value.dim() > 1 and ('backbone' in key or 'head' in key):
            value.copy_(1.5 * torch.randn_like(value) / value[0].numel() ** 0.5)
    torch.save(checkpoint, weights)


def classifier_run(folder: Path) -> tuple[Path, Path]:
    """A classifier of 6 classes for 32 x 64 pixels, with 2 validation images of each in `data`."""
    path = ROOT / 'configs/classification/swinv2-t-w8_8xb128-bf16-300e_in1k-256.py'
    cfg = Config.fromfile(path)
    cfg.model.backbone.update(arch=ARCH, init_cfg=None, out_indices=(0,))
    cfg.model.head.update(in_channels=16, num_classes=len(NAMES))
    steps = dict(ResizeShorterSide=dict(size=72), CenterCrop=dict(crop_size=(64, 32)))
    for step in cfg.test_dataloader.dataset.pipeline:
        step.update(steps.get(step.type, {}))
    use_folders(cfg, write_class_folders(folder / 'data', NAMES, dict(train=1, val=2)))
    cfg.pop('expected', None)
    run = save_random(cfg, folder, classes=NAMES)
    wake(run[1])
    return run


def small_run(folder: Path, task: str) -> tuple[Path, Path]:
    """The quickstart's model of a task with fewer blocks, and 3 images or 6 videos."""
    config, _ = write_run(folder, task)
    cfg = Config.fromfile(config)
    arch = cfg.model.backbone.arch
    arch.update(depths=tuple(2 if i == 0 else 1 for i in range(len(arch.depths))))
    run = save_random(cfg, folder)
    wake(run[1])
    return run
