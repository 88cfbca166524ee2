"""Predictions as COCO datasets and pre-annotations, read back by other code where there is some."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

pytest.importorskip('mmdet')
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from swinv2_dense.choices import EXPORTS
from swinv2_dense.det.exports import WRITERS, export
from swinv2_dense.det.outlines import outlines

CLASSES = ('disc', 'ö & <x>')
SIZE = (60, 80)


def disc(x: int, y: int, radius: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask


def rle(mask: np.ndarray) -> dict:
    encoded = coco_masks.encode(np.asfortranarray(mask))
    return dict(size=list(encoded['size']), counts=encoded['counts'].decode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Predictions of an image with masks, one with boxes, one without objects, and a video."""
    masks = [disc(20, 20, 10), disc(60, 40, 8) | disc(30, 45, 6)]
    with_masks = dict(
        names=list(CLASSES),
        labels=[0, 1],
        scores=[0.9, 0.5],
        bboxes=[[10.0, 10, 31, 31], [24, 32, 69, 52]],
        masks=[rle(mask) for mask in masks],
    )
    boxes = dict(names=[CLASSES[1]], labels=[1], scores=[0.25], bboxes=[[8.0, 6, 48, 36]])
    empty = dict(names=[], labels=[], scores=[], bboxes=[])
    for name, record in (('a/1.png', with_masks), ('2.jpg', boxes), ('3.jpg', empty)):
        path = tmp_path / 'predictions' / f'{name}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        content = dict(input=f'{tmp_path}/images/{name}', height=SIZE[0], width=SIZE[1], **record)
        path.write_text(json.dumps(content))
    (tmp_path / 'predictions/clip.mp4.json').write_text('{"input": "clip.mp4", "frames": []}')
    return tmp_path


NAMES = ['a/1.png', '2.jpg', '3.jpg', 'clip.mp4', 'skipped.jpg']


def write(folder: Path, name: str) -> Path:
    return export(name, folder, NAMES, CLASSES)


def test_the_choices_are_the_writers():
    assert tuple(WRITERS) == EXPORTS


def test_coco(folder, capsys):
    coco = COCO(str(write(folder, 'coco')))
    assert [image['file_name'] for image in coco.dataset['images']] == NAMES[:3]
    assert {c['id']: c['name'] for c in coco.dataset['categories']} == {1: 'disc', 2: CLASSES[1]}
    first, second, third = coco.dataset['annotations']
    np.testing.assert_array_equal(coco.annToMask(first), disc(20, 20, 10))
    assert first['area'] == disc(20, 20, 10).sum() and first['bbox'] == [10, 10, 21, 21]
    assert (third['image_id'], third['category_id'], third['area']) == (2, 2, 1200)
    assert [a['score'] for a in coco.dataset['annotations']] == [0.9, 0.5, 0.25]
    assert 'segmentation' not in third


def test_labelme(folder):
    root = write(folder, 'labelme')
    content = json.loads((root / 'a/1.json').read_text())
    assert (root / 'a' / content['imagePath']).resolve() == folder / 'images/a/1.png'
    assert (content['imageHeight'], content['imageWidth']) == SIZE
    assert [s['shape_type'] for s in content['shapes']] == [
        'polygon'
    ] * 3  # the second has two parts
    assert [s['label'] for s in content['shapes']] == ['disc', CLASSES[1], CLASSES[1]]
    (box,) = json.loads((root / '2.json').read_text())['shapes']
    assert (box['shape_type'], box['points']) == ('rectangle', [[8, 6], [48, 36]])
    assert json.loads((root / '3.json').read_text())['shapes'] == []


def test_cvat(folder):
    root = ElementTree.parse(write(folder, 'cvat')).getroot()
    assert root.find('version').text == '1.1'
    images = root.findall('image')
    assert [image.get('name') for image in images] == NAMES[:3]
    assert [len(list(image)) for image in images] == [3, 1, 0]
    assert [shape.get('label') for shape in images[0]] == ['disc', CLASSES[1], CLASSES[1]]
    box = images[1].find('box')
    assert [float(box.get(key)) for key in ('xtl', 'ytl', 'xbr', 'ybr')] == [8, 6, 48, 36]


def test_label_studio(folder):
    tasks = json.loads(write(folder, 'label-studio').read_text())
    assert [task['data']['image'] for task in tasks][0] == '/data/local-files/?d=a/1.png'
    (box,) = tasks[1]['predictions'][0]['result']
    value = box['value']
    assert [value[key] for key in ('x', 'y', 'width', 'height')] == [10, 10, 50, 50]  # percent
    assert value['rectanglelabels'] == [CLASSES[1]] and box['score'] == 0.25
    kinds = [result['type'] for result in tasks[0]['predictions'][0]['result']]
    assert kinds == ['polygonlabels'] * 3


@pytest.mark.parametrize('radius', [6, 10, 20])
def test_polygons_outline_their_mask(radius):
    mask = disc(30, 28, radius)
    (outline,) = outlines(rle(mask))
    flat = [[side for point in outline for side in point]]
    again = coco_masks.decode(coco_masks.merge(coco_masks.frPyObjects(flat, *SIZE)))
    union = (mask | again).sum()
    assert (mask & again).sum() / union > 1 - 2.2 / radius
