"""Generated trees in the layout of COCO and Objects365, with all their categories."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

SIZE = (96, 128)  # pixels, H and W
BOXES = ((8, 10, 60, 50), (70, 30, 50, 60))  # x, y, w, h


def write_tree(root: Path, classes: tuple[str, ...], num_images: int = 2) -> Path:
    """Images with two objects each, `annotations/{train,val}.json`, and stuff maps.

    Images lie in train2017, val2017, train and val (one folder, linked), as the configs name them;
    a stuff map holds label 3, 255 in a corner, and the objects as things.
    """
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for folder in ('pictures', 'annotations', 'maps'):
        (root / folder).mkdir(parents=True)
    for index in range(num_images):
        image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        stuff = np.full(SIZE, 3, np.uint8)
        stuff[:20, :30] = 255
        for k, (x, y, w, h) in enumerate(BOXES):
            image[y : y + h, x : x + w] = (40 + 150 * k, 200, 90)
            stuff[y : y + h, x : x + w] = k
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index,
                    category_id=(k * 7) % len(classes) + 1,
                    iscrowd=0,
                    area=w * h,
                    bbox=[x, y, w, h],
                    segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                )
            )
        name = f'{index:012d}'
        cv2.imwrite(str(root / f'pictures/{name}.jpg'), image)
        cv2.imwrite(str(root / f'maps/{name}.png'), stuff)
        height, width = SIZE
        images.append(dict(id=index, file_name=f'{name}.jpg', height=height, width=width))
    categories = [dict(id=k + 1, name=name) for k, name in enumerate(classes)]
    coco = dict(images=images, annotations=annotations, categories=categories)
    for split in ('train', 'val'):
        (root / f'annotations/{split}.json').write_text(json.dumps(coco))
        for folder in (split, f'{split}2017'):
            (root / folder).symlink_to(root / 'pictures')
        maps = root / 'stuffthingmaps' / f'{split}2017'
        maps.parent.mkdir(exist_ok=True)
        maps.symlink_to(root / 'maps')
    return root
