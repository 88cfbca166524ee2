"""Make a video config fit a test: the same parts with fewer channels, on short and small clips.

Of a copy of a config of configs/video: `narrow_recognizer(cfg.model)`, then `shrink_clips(cfg)`,
then `use_clips(cfg, write_clips(root, last=cfg.model.cls_head.num_classes - 1))`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from narrow import ARCH, CHANNELS

from swinv2_dense.drawing.video import write_video

FACTOR = 4  # of pixels, frames and windows: 16 x 16 x 8 tokens become 4 x 4 x 2
KEYS = ('scale', 'crop_size', 'clip_len')


def narrow_recognizer(model: Any) -> None:
    """Fewer channels and blocks; every part stays, and how many test views go at a time."""
    model.backbone.update(arch=ARCH, init_cfg=None)
    model.cls_head.in_channels = CHANNELS[-1]


def shrink_clips(cfg: Any, factor: int = FACTOR) -> None:
    """Divide pixels and frames of all pipelines, and windows in all axes, each to at least 1."""
    for key in ('window_size', 'pretrained_window_sizes'):
        if key in cfg.model.backbone:
            cfg.model.backbone[key] = _divided(cfg.model.backbone[key], factor)
    for part in ('train', 'val', 'test'):
        for step in cfg[f'{part}_dataloader'].dataset.pipeline:
            for key in KEYS:
                if key in step:
                    step[key] = _divided(step[key], factor)


def write_clip(path: Path, frames: np.ndarray) -> None:
    """A video in h264 at 25 frames per second of frames (T, H, W, 3), RGB in uint8.

    H must be even and W a multiple of 32: decord 0.6 fails to copy frames of a width of 48.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames)


def write_clips(root: Path, last: int, clips: int = 2) -> Path:
    """Clips of 24 frames of 72 x 96 pixels, random blocks, with the labels 0 and `last` in turn.

    `root` gets `videos/` and the lists `train.txt` and `val.txt`.
    """
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        lines = []
        for index in range(clips):
            name = f'{split}_{index}.mp4'
            blocks = rng.integers(0, 256, (24, 9, 12, 3), dtype=np.uint8)
            write_clip(root / 'videos' / name, blocks.repeat(8, axis=1).repeat(8, axis=2))
            lines.append(f'{name} {last * (index % 2)}\n')
        (root / f'{split}.txt').write_text(''.join(lines))
    return root


def use_clips(cfg: Any, root: Path) -> None:
    """Read what `write_clips` wrote, in the process that trains."""
    for part, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        loader = cfg[f'{part}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(
            data_root=str(root), ann_file=f'{split}.txt', data_prefix=dict(video='videos')
        )


def _divided(value: Any, factor: int) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_divided(v, factor) for v in value)
    return value if value < 0 else max(1, round(value / factor))  # -1: as the other side
