"""Make a classification config fit a test: the same parts with fewer channels, on small images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from narrow import ARCH, CHANNELS

CLASSES = 6  # one more than in a top-5 accuracy
COLORS = np.array([[230, 30, 30], [30, 230, 30], [30, 30, 230], [220, 220, 40], [40, 220, 220],
                   [220, 40, 220]])  # fmt: skip


def narrow_classifier(model: Any) -> None:
    """Fewer channels and blocks; every part stays, the window too."""
    model.backbone.update(arch=ARCH, init_cfg=None)
    model.init_cfg = None
    model.head.in_channels = CHANNELS[-1]


def write_image(path: Path, color: Any, seed: int = 0, size: tuple[int, int] = (72, 96)) -> Path:
    """A noisy image of size (H, W) around an RGB color."""
    noise = np.random.default_rng(seed).integers(-25, 26, (*size, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (np.array(color)[::-1] + noise).clip(0, 255).astype(np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def write_class_folders(root: Path, names: Any, counts: dict[str, int]) -> Path:
    """`root/SPLIT/CLASS/INDEX.jpg`, one color per class."""
    for split, count in counts.items():
        for label, name in enumerate(names):
            for index in range(count):
                path = root / split / name / f'{index}.jpg'
                write_image(path, COLORS[label % CLASSES], 10 * label + index)
    return root


def use_folders(cfg: Any, root: Path) -> None:
    """Read a dataset in the process that trains."""
    for part in ('train', 'val', 'test'):
        if cfg.get(f'{part}_dataloader'):
            loader = cfg[f'{part}_dataloader']
            loader.update(num_workers=0, persistent_workers=False)
            # Serializing runs the garbage collector, which takes longer than a step.
            loader.dataset.update(data_root=str(root), serialize_data=False)
