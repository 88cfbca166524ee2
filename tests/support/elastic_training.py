"""A small training whose samples are augmented at random, for test_elastic.py."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS, MODELS
from sharded_training import Classifier, Samples
from torch import Tensor
from torch.nn import functional

CONFIG = """
custom_imports = dict(imports=['elastic_training'])
default_scope = 'mmseg'
model = dict(type='Dropping', num_classes=3)
train_dataloader = dict(
    dataset=dict(type='NoisySamples'),
    sampler=dict(type={sampler!r}, shuffle=True),
    batch_size=4,
    num_workers=0,
)
train_cfg = {train_cfg}
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=0.01, eps=1e-3),
    clip_grad=dict(max_norm=0.5),
)
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=6)]
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False),
    logger=dict(type='LoggerHook', interval=1),
)
custom_hooks = [dict(type='RecordLossHook')]
env_cfg = dict(dist_cfg=dict(backend='gloo'))
"""
IN_STEPS = dict(sampler='InfiniteSampler', train_cfg=dict(by_epoch=False, max_iters=6))
IN_EPOCHS = dict(sampler='DefaultSampler', train_cfg=dict(by_epoch=True, max_epochs=2))


def write_config(path: Path, base: str | None = None, **settings: object) -> Path:
    """Write a config, with a fragment of configs/_base_ added to it."""
    text = CONFIG.format(**settings)
    if base:
        text = f"_base_ = __import__('swinv2_dense').config_path({base!r})\n{text}"
        text = text.replace(
            'optim_wrapper = dict(', "optim_wrapper = dict(\n    type='OptimWrapper',"
        )
    path.write_text(text)
    return path


@MODELS.register_module()
class Dropping(Classifier):
    """With dropout of pixels."""

    def __init__(self, drop_rate: float = 0.0, **settings: object) -> None:
        super().__init__(**settings)
        self.drop_rate = drop_rate

    def forward(self, inputs: list[Tensor], label: list[int], mode: str) -> dict[str, Tensor]:
        kept = functional.dropout(torch.stack(inputs), self.drop_rate)
        return super().forward(list(kept), label, mode)


@DATASETS.register_module()
class NoisySamples(Samples):
    """Augmented by numbers of three generators; 12 samples."""

    metainfo = dict(classes=('a', 'b', 'c'))

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict:
        noise = random.random() + np.random.rand() + torch.rand(()).item()
        sample = super().__getitem__(index)
        return dict(inputs=sample['inputs'] * noise, label=sample['label'])

    def get_data_info(self, index: int) -> dict:
        return dict(width=1 + index % 2, height=1.5)


@HOOKS.register_module()
class RecordLossHook(Hook):
    """Write what each process logs as the loss of each iteration."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if outputs:
            self.losses[runner.iter] = outputs['loss'].item()

    def after_train(self, runner) -> None:
        path = Path(runner.work_dir, f'losses_{get_rank()}_of_{get_world_size()}.json')
        path.write_text(json.dumps(self.losses))
