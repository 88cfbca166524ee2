"""Make a segmentation config fit a test: the same parts with fewer channels, on small images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from narrow import ARCH, CHANNELS, shrink_images
from narrow_detr import narrow_detr

HEAD = 64  # channels: group norm has 32 groups, each needs more than one value
IMAGE = (96, 128)  # pixels, H and W
TREES = {  # images, label maps, and the largest id
    'ADE20KDataset': (
        'images/{long}/{name}.jpg',
        'annotations/{long}/{name}.png',
        150,
    ),
    'CityscapesDataset': (
        'leftImg8bit/{short}/town/{name}_leftImg8bit.png',
        'gtFine/{short}/town/{name}_gtFine_labelTrainIds.png',
        18,
    ),
}


def narrow_segmentor(model: Any) -> None:
    """Fewer channels and blocks; every part and loss stays, the window too."""
    model.backbone.update(arch=ARCH, init_cfg=None)
    if 'pixel_decoder' in model.decode_head:
        narrow_detr(model)
        return
    model.decode_head.update(in_channels=CHANNELS, channels=HEAD)
    model.auxiliary_head.update(in_channels=CHANNELS[2], channels=HEAD)


def shrink(cfg: Any, factor: int) -> None:
    """Divide all sizes in pixels, the windows of a sliding test too."""
    shrink_images(cfg, factor)
    test_cfg = cfg.model.test_cfg
    for key in ('crop_size', 'stride'):
        if key in test_cfg:
            test_cfg[key] = tuple(round(side / factor) for side in test_cfg[key])


def write_segmentation_tree(root: Path, kind: str) -> Path:
    """Two pairs per split in the layout of a dataset; the left part of a map is not learned."""
    rng = np.random.default_rng(0)
    *places, largest = TREES[kind]
    for long, short in (('training', 'train'), ('validation', 'val')):
        for index in range(2):
            image = rng.integers(0, 256, (*IMAGE, 3), dtype=np.uint8)
            labels = rng.integers(1, largest + 1, (IMAGE[0] // 8, IMAGE[1] // 8), dtype=np.uint8)
            labels = labels.repeat(8, axis=0).repeat(8, axis=1)
            labels[:, :20] = 0 if largest == 150 else 255
            for place, pixels in zip(places, (image, labels)):
                path = root / place.format(long=long, short=short, name=f'{index:04}')
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), pixels)
    return root


def use_tree(cfg: Any, root: Path) -> None:
    """Read a tree in the process that trains."""
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(root)
