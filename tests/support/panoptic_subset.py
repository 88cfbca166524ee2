"""Panoptic maps for `write_subset`, from the masks of its objects and its stuff maps."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from swinv2_dense.preparation.panoptic_ids import as_rgb

FIRST_STUFF, SMALLEST = 91, 64  # label in stuff maps (id - 1); pixels of a segment


def add_panoptic(root: Path) -> Path:
    """`annotations/panoptic_{train,val}.json` and `panoptic/*.png`.

    Objects in front are drawn last, the smallest on top. COCO merges its 91 kinds of stuff into 53
    by a table; here they are folded by number, which is as hard to learn.
    """
    from mmdet.datasets import CocoPanopticDataset
    from pycocotools.coco import COCO

    meta = CocoPanopticDataset.METAINFO
    categories = [
        dict(id=i + 1, name=name, isthing=int(name in meta['thing_classes']))
        for i, name in enumerate(meta['classes'])
    ]
    coco = COCO(str(root / 'annotations/train.json'))
    things = {key: i + 1 for i, key in enumerate(sorted(coco.cats))}
    (root / 'panoptic').mkdir()
    annotations = []
    for image in coco.dataset['images']:
        name = Path(image['file_name']).with_suffix('.png').name
        stuff = cv2.imread(str(root / 'stuffthingmaps/train2017' / name), cv2.IMREAD_UNCHANGED)
        ids, labels = np.zeros(stuff.shape, np.int64), {}
        for value in np.unique(stuff[(stuff >= FIRST_STUFF) & (stuff < 255)]).tolist():
            category = 81 + (value - FIRST_STUFF) % 53
            segment = next((s for s, c in labels.items() if c == category), len(labels) + 1)
            labels[segment] = category
            ids[stuff == value] = segment
        objects = coco.imgToAnns[image['id']]
        for annotation in sorted(objects, key=lambda a: -a['area']):
            if not annotation['iscrowd']:
                labels[len(labels) + 1] = things[annotation['category_id']]
                ids[coco.annToMask(annotation) > 0] = len(labels)
        segments = []
        for segment, category in labels.items():
            mask = ids == segment
            if mask.sum() < SMALLEST:
                ids[mask] = 0
                continue
            y, x = np.nonzero(mask)
            box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
            segments.append(
                dict(
                    id=segment,
                    category_id=category,
                    iscrowd=0,
                    area=int(mask.sum()),
                    bbox=[int(value) for value in box],
                )
            )
        cv2.imwrite(str(root / 'panoptic' / name), as_rgb(ids)[..., ::-1])
        annotations.append(dict(image_id=image['id'], file_name=name, segments_info=segments))
    content = dict(images=coco.dataset['images'], annotations=annotations, categories=categories)
    for split in ('train', 'val'):
        (root / f'annotations/panoptic_{split}.json').write_text(json.dumps(content))
    return root
