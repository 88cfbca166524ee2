"""Splits in the layout of COCO."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from swinv2_dense.preparation import coco

SIZE = (37, 29)  # width, height


def annotation(id: int, image_id: int = 1, **changes: object) -> dict:
    polygon = [2.0, 3.0, 20.0, 3.0, 20.0, 15.0]
    box = dict(bbox=[2.0, 3.0, 18.0, 12.0], area=108.0, segmentation=[polygon], iscrowd=0)
    return dict(id=id, image_id=image_id, category_id=90, **box) | changes


def write_split(root: Path, split: str) -> None:
    """Three images, two with an annotation, one of them a crowd; and their stuff maps."""
    classes = pytest.importorskip('mmdet.datasets').CocoDataset.METAINFO['classes']
    random = np.random.default_rng(0)
    for folder in (split, f'stuffthingmaps/{split}', 'annotations'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    width, height = SIZE
    for number in (1, 2, 3):
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(root / split / f'{number:012}.jpg'), pixels)
        labels = random.choice([0, 90, 181, 255], (height, width)).astype(np.uint8)
        cv2.imwrite(str(root / 'stuffthingmaps' / split / f'{number:012}.png'), labels)
    crowd = dict(size=[height, width], counts=[100, 50, height * width - 150])
    content = dict(
        images=[
            dict(id=n, file_name=f'{n:012}.jpg', width=width, height=height) for n in (1, 2, 3)
        ],
        annotations=[annotation(7), annotation(8, 2, segmentation=crowd, iscrowd=1)],
        categories=[dict(id=i, name=n) for i, n in zip(coco.CATEGORY_IDS, classes)],
    )
    (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
