"""Panoptic maps for the images of `coco_tree.write_tree`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from coco_tree import BOXES, SIZE


def write_panoptic(root: Path, num_images: int = 2) -> Path:
    """`annotations/panoptic_{train,val}.json` with all categories, and their PNGs.

    Two things and, around them, one stuff segment, except for a corner without segment.
    """
    from mmdet.datasets import CocoPanopticDataset

    meta = CocoPanopticDataset.METAINFO
    categories = [
        dict(id=i + 1, name=name, isthing=int(name in meta['thing_classes']))
        for i, name in enumerate(meta['classes'])
    ]
    stuff = len(categories)
    images, annotations = [], []
    maps = root / 'panoptic'
    maps.mkdir()
    for index in range(num_images):
        ids = np.full(SIZE, 300, np.int64)
        ids[:20, :30] = 0
        segments = [dict(id=300, category_id=stuff, iscrowd=0, bbox=[0, 0, SIZE[1], SIZE[0]])]
        for k, (x, y, w, h) in enumerate(BOXES):
            ids[y : y + h, x : x + w] = k + 1
            category = (k * 7) % 80 + 1
            segments.append(dict(id=k + 1, category_id=category, iscrowd=0, bbox=[x, y, w, h]))
        for segment in segments:
            segment['area'] = int((ids == segment['id']).sum())
        name = f'{index:012d}'
        bgr = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)
        cv2.imwrite(str(maps / f'{name}.png'), bgr)
        height, width = SIZE
        images.append(dict(id=index, file_name=f'{name}.jpg', height=height, width=width))
        annotations.append(dict(image_id=index, file_name=f'{name}.png', segments_info=segments))
    coco = dict(images=images, annotations=annotations, categories=categories)
    for split in ('train', 'val'):
        (root / f'annotations/panoptic_{split}.json').write_text(json.dumps(coco))
        (root / f'annotations/panoptic_{split}2017').symlink_to(maps)
    return root


def dataset_of(tree: Path, split: str = 'train') -> dict:
    """The config of a dataset that reads the tree."""
    return dict(
        type='CocoPanopticDataset',
        data_root=f'{tree}/',
        ann_file=f'annotations/panoptic_{split}.json',
        data_prefix=dict(img='train2017/', seg=f'annotations/panoptic_{split}2017/'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadPanopticMaps')],
    )


def built(tree: Path) -> Any:
    """The dataset."""
    from mmdet.datasets import CocoPanopticDataset
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet'):
        return CocoPanopticDataset(**{k: v for k, v in dataset_of(tree).items() if k != 'type'})


def perfect_prediction() -> Any:
    """The truth of an image, as mmdet's model would say it."""
    from mmengine.structures import PixelData

    sem_seg = torch.full((1, *SIZE), 132)
    sem_seg[0, :20, :30] = 133
    for k, (x, y, w, h) in enumerate(BOXES):
        sem_seg[0, y : y + h, x : x + w] = 7 * k + 1000 * (k + 1)
    return PixelData(sem_seg=sem_seg)
