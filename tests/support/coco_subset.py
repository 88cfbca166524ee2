"""A few real images as a COCO tree of their own, optionally with panoptic maps."""

from __future__ import annotations

import json
from pathlib import Path


def write_subset(samples: Path, root: Path, number: int) -> Path:
    """The training images with a stuff map and the fewest objects."""
    source = samples / 'coco_mini'
    coco = json.loads((source / 'annotations/instances_train2017.json').read_text())
    objects = {image['id']: [] for image in coco['images']}
    for annotation in coco['annotations']:
        objects[annotation['image_id']].append(annotation)
    maps = {path.stem for path in (source / 'stuffthingmaps/train2017').glob('*.png')}
    images = [i for i in coco['images'] if Path(i['file_name']).stem in maps and objects[i['id']]]
    images = sorted(images, key=lambda i: (len(objects[i['id']]), i['id']))[:number]
    coco.update(images=images, annotations=[a for i in images for a in objects[i['id']]])
    (root / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        (root / f'annotations/{split}.json').write_text(json.dumps(coco))
    for folder in ('train2017', 'stuffthingmaps'):
        (root / folder).symlink_to(source / folder)
    return root
