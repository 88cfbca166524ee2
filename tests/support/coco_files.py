"""A small dataset in COCO format that is right, to be made wrong in one way at a time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config, ConfigDict

from swinv2_dense.checks.coco_check import Result, check_annotation_file
from swinv2_dense.checks.coco_report import Use

WIDTH, HEIGHT, IMAGES = 96, 64, 6
BOXES = ((4, 6, 30, 20), (50, 8, 40, 25), (10, 40, 20, 20), (60, 38, 33, 24))  # x, y, w, h
CLASSES = ('cup', 'plate', 'spoon')


def content(start: int = 0) -> dict:
    """Six images with four objects each; annotations are numbered from 1."""
    images = [
        dict(id=start + i + 1, file_name=f'{start + i}.jpg', width=WIDTH, height=HEIGHT)
        for i in range(IMAGES)
    ]
    annotations = []
    for image in images:
        for k, (x, y, w, h) in enumerate(BOXES):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image['id'],
                    category_id=k % 3 + 1,
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=0,
                    segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                )
            )
    categories = [dict(id=k + 1, name=name) for k, name in enumerate(CLASSES)]
    return dict(images=images, annotations=annotations, categories=categories)


def write_images(folder: Path, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + IMAGES):
        pixels = np.random.default_rng(i).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{i}.jpg'), pixels)


def write(path: Path, coco: Any, encoding: str = 'utf-8') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco, ensure_ascii=False), encoding=encoding)
    return path


def changed(change: Callable[[dict], Any], start: int = 0) -> dict:
    """The content after `change`, which returns another or changes it in place."""
    coco = copy.deepcopy(content(start))
    return change(coco) or coco


def every(**values: Any) -> Callable[[dict], None]:
    """A change of all annotations; functions are called with the annotation, None removes."""

    def change(coco: dict) -> None:
        for annotation in coco['annotations']:
            assign(annotation, **values)

    return change


def one(index: int = 4, **values: Any) -> Callable[[dict], None]:
    return lambda coco: assign(coco['annotations'][index], **values)


def images(**values: Any) -> Callable[[dict], None]:
    def change(coco: dict) -> None:
        for image in coco['images']:
            assign(image, **values)

    return change


def assign(entry: dict, **values: Any) -> None:
    new = {key: value(entry) if callable(value) else value for key, value in values.items()}
    for key, value in new.items():
        if value is None:
            del entry[key]
        else:
            entry[key] = value


def check(path: Path, **use: Any) -> Result:
    settings = dict(classes=CLASSES, is_evaluated=True, with_masks=True, is_rotated=True)
    return check_annotation_file(str(path), Use(**settings | use))


def from_0(coco: dict) -> None:
    for index, annotation in enumerate(coco['annotations']):
        annotation['id'] = index


def without_sizes(coco: dict) -> None:
    for image, broken in zip(coco['images'], (0, -1, None)):
        image['width'] = image['height'] = broken
    del coco['images'][3]['height']


def dataset(root: Path, split: str, **settings: Any) -> dict:
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape')),
    ]
    given = dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file=f'{split}.json',
        data_prefix=dict(img=split),
        metainfo=dict(classes=CLASSES),
        test_mode=split == 'val',
        serialize_data=False,
        pipeline=load,
    )
    return given | settings


def config(root: Path, **parts: Any) -> ConfigDict:
    evaluator = dict(
        type='CocoMetric', ann_file=str(root / 'val.json'), metric=['bbox', 'segm'], prefix='coco'
    )
    given = dict(
        default_scope='mmdet',
        train_dataloader=dict(dataset=dataset(root, 'train')),
        val_dataloader=dict(dataset=dataset(root, 'val')),
        val_evaluator=evaluator,
    )
    return Config(given | parts)._cfg_dict
