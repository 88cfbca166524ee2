"""Make a pre-training config fit a test: the same parts with fewer channels, on small inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from commands import ROOT
from narrow import ARCH
from narrow_recognizer import write_clip

SIZE, CLIP = 64, 4  # pixels and frames of an input
SIDES = {  # arguments of the steps that determine the size
    'RandomResizedCrop': dict(size=SIZE),
    'Resize': dict(scale=(100000, SIZE)),
    'CenterCrop': dict(crop_size=SIZE),
    'mmaction.CenterCrop': dict(crop_size=SIZE),
    'mmaction.SampleFrames': dict(clip_len=CLIP),
}
CONFIG = """
_base_ = {base!r}
arch = {arch!r}
model = dict(backbone=dict(arch=dict(_delete_=True, **arch), window_size=4,
    pretrained_window_sizes=None, drop_path_rate={drop_path}))
sizes = {sizes!r}
for loader in (_base_.train_dataloader, _base_.val_dataloader):
    for step in loader.dataset.pipeline:
        step.update(sizes.get(step.type, dict()))
loader = dict(batch_size=2, num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **loader,
    dataset=dict(data_root={root!r}, data_prefix=dict(img_path=''), part='train', held_out=0.3,
        pipeline=_base_.train_dataloader.dataset.pipeline),
)
val_dataloader = test_dataloader = dict(
    **loader,
    dataset=dict(data_root={root!r}, data_prefix=dict(img_path=''), held_out=0.3, part='held_out',
        pipeline=_base_.val_dataloader.dataset.pipeline),
)
train_cfg = dict(max_epochs=1, val_interval=1)
param_scheduler = None
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
auto_scale_lr = dict(base_batch_size=2)
"""


def shrink_steps(cfg: Any) -> None:
    """Small images and clips in all pipelines."""
    for part in ('train', 'val', 'test'):
        for step in (cfg.get(f'{part}_dataloader') or {}).get('dataset', {}).get('pipeline', []):
            step.update(SIDES.get(step.type, {}))
            if step.type == 'mmaction.Resize':
                step.scale = tuple(SIZE if side > 0 else side for side in step.scale)


def write_images(root: Path, count: int = 8) -> Path:
    """Smooth images of several sizes and formats, in nested folders."""
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (90 + 10 * index, 70 + 5 * index), interpolation=cv2.INTER_CUBIC)
        path = root / str(index % 3) / f'{index}.{("png", "JPG", "webp")[index % 3]}'
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)
    return root


def write_videos(root: Path, count: int = 2) -> Path:
    rng = np.random.default_rng(0)
    for index in range(count):
        frames = rng.integers(0, 256, (12, 9, 12, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        write_clip(root / str(index) / f'{index}.mp4', frames)
    return root


def write_config(folder: Path, images: Path, base: str = '', drop_path: float = 0.0) -> Path:
    """A config for `images`, derived from the one with this name in configs/pretraining."""
    name = base or 'simmim_swinv2-t-w12_16xb128-bf16-800e_in1k-192'
    path = ROOT / 'configs/pretraining' / f'{name}.py'
    text = CONFIG.format(
        base=str(path), arch=ARCH, sizes=SIDES, root=str(images), drop_path=drop_path
    )
    config = folder / 'simmim.py'
    config.write_text(text)
    return config
