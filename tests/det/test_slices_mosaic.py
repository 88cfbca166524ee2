"""Slices find small objects: mosaics of images of the size that a detector was trained on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import ROOT, succeed

pytest.importorskip('mmdet')
from pycocotools import mask as coco_masks  # noqa: E402

from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset  # noqa: E402

SIDE = 3  # images per row and column of a mosaic
CONFIG = 'configs/quickstart/htc++_swinv2-c32-w8_1xb8-600it_shapes-128.py'


def write_mosaics(root: Path, split: str = 'val') -> None:
    """`mosaics/` and their annotations, from the images of a split in order."""
    coco = json.loads((root / f'annotations/instances_{split}.json').read_text())
    by_image: dict[int, list] = {}
    for annotation in coco['annotations']:
        by_image.setdefault(annotation['image_id'], []).append(annotation)
    sources, images, annotations = coco['images'], [], []
    (root / 'mosaics').mkdir()
    for index in range(len(sources) // SIDE**2):
        tiles = sources[index * SIDE**2 : (index + 1) * SIDE**2]
        size = tiles[0]['height']
        mosaic = np.zeros((SIDE * size, SIDE * size, 3), np.uint8)
        for place, tile in enumerate(tiles):
            top, left = place // SIDE * size, place % SIDE * size
            pixels = cv2.imread(str(root / split / tile['file_name']))
            mosaic[top : top + size, left : left + size] = pixels
            for annotation in by_image.get(tile['id'], []):
                full = np.zeros(mosaic.shape[:2], np.uint8, order='F')
                rle = annotation['segmentation']
                if isinstance(rle, list):
                    rle = coco_masks.merge(coco_masks.frPyObjects(rle, size, size))
                elif isinstance(rle['counts'], list):
                    rle = coco_masks.frPyObjects(rle, size, size)
                full[top : top + size, left : left + size] = coco_masks.decode(rle)
                moved = coco_masks.encode(full)
                x, y, w, h = annotation['bbox']
                annotations.append(
                    dict(
                        annotation,
                        id=len(annotations) + 1,
                        image_id=index,
                        bbox=[x + left, y + top, w, h],
                        segmentation=dict(size=moved['size'], counts=moved['counts'].decode()),
                    )
                )
        cv2.imwrite(str(root / f'mosaics/{index}.png'), mosaic)
        side = SIDE * size
        images.append(dict(id=index, file_name=f'{index}.png', height=side, width=side))
    content = dict(images=images, annotations=annotations, categories=coco['categories'])
    (root / 'annotations/mosaics.json').write_text(json.dumps(content))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_slices_find_what_resizing_loses(tmp_path):
    root = tmp_path / 'shapes'
    write_dataset(root, ShapesSpec(train=800, val=36))
    write_mosaics(root)
    options = [f'{part}_dataloader.dataset.data_root={root}/' for part in ('train', 'val', 'test')]
    options += [f'val_evaluator.ann_file={root}/annotations/instances_val.json']
    options += [f'test_evaluator.ann_file={root}/annotations/mosaics.json']
    train = ['train_cfg.max_iters=450', 'train_cfg.val_interval=450']
    train += ['param_scheduler.1.begin=225', 'param_scheduler.1.T_max=225']
    train += ['default_hooks.checkpoint.interval=450']
    work = ['--work-dir', tmp_path / 'work', '--cfg-options', *options]
    succeed('train', ROOT / CONFIG, '--seed', 0, *work, *train, limit=3000)
    options += ['test_dataloader.dataset.ann_file=annotations/mosaics.json']
    options += ['test_dataloader.dataset.data_prefix.img=mosaics/']
    scores = {}
    for name, flags in (('plain', []), ('sliced', ['--slice', 128, 128, '--overlap', 40])):
        args = ['--work-dir', tmp_path / name, *flags, '--cfg-options', *options]
        printed = succeed('test', ROOT / CONFIG, tmp_path / 'work/iter_450.pth', *args)
        found = re.findall(r'coco/(bbox|segm)_mAP_50: ([\d.]+)', printed)
        scores[name] = {kind: float(score) for kind, score in found}
    for kind in ('bbox', 'segm'):
        assert scores['plain'][kind] < 0.15 < 0.35 < scores['sliced'][kind], scores
