"""Checkpoints of models with random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope


def save_random(cfg: Config, folder: Path, **dataset_meta: object) -> tuple[Path, Path]:
    """Write a config, and a checkpoint of its model with random weights; returns their paths."""
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    cfg.dump(folder / 'mine.py')
    meta = dict(dataset_meta=dataset_meta) if dataset_meta else {}
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'random.pth')
    return folder / 'mine.py', folder / 'random.pth'
