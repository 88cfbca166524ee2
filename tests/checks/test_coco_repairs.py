"""Unambiguous mistakes in annotation files are fixed in a copy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coco_files import (
    BOXES,
    CLASSES,
    HEIGHT,
    IMAGES,
    WIDTH,
    changed,
    check,
    content,
    every,
    from_0,
    one,
    without_sizes,
    write,
    write_images,
)

OBJECTS = IMAGES * len(BOXES)


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('coco') / 'images'
    write_images(folder)
    return folder


def as_text(coco: dict) -> None:
    for image in coco['images']:
        for key in ('id', 'width', 'height'):
            image[key] = str(image[key])
    for annotation in coco['annotations']:
        for key in ('id', 'image_id', 'category_id', 'area', 'iscrowd'):
            annotation[key] = str(annotation[key])
        annotation['bbox'] = [str(side) for side in annotation['bbox']]
    for category in coco['categories']:
        category['id'] = f'0{category["id"]}'


def flat(annotation: dict) -> list[float]:
    return annotation['segmentation'][0]


def points(annotation: dict) -> list[list[float]]:
    return np.reshape(annotation['segmentation'], (-1, 2)).tolist()


REPAIRS = {
    'no area': (every(area=None), '24 annotations have no area'),
    'area null': (lambda c: c['annotations'][4].update(area=None), '1 annotations have no area'),
    'area 0': (every(area=0), '24 annotations have an area of 0 or less'),
    'no iscrowd': (every(iscrowd=None), '24 annotations have no iscrowd'),
    'iscrowd null': (lambda c: c['annotations'][4].update(iscrowd=None), 'iscrowd are not numbers'),
    'no bbox': (every(bbox=None), '24 annotations have no bbox'),
    'text': (as_text, 'numbers are written as text'),
    'ids twice': (every(id=3), '24 annotations share their id with others'),
    'no ids': (every(id=None), '24 annotations have no integer id'),
    'uuids': (every(id='a-b'), '24 annotations have no integer id'),
    'ids from 0': (from_0, '1 annotations have id 0, which COCO evaluation treats as unmatched'),
    'sizes': (without_sizes, '4 images have no width and height'),
    'flat polygons': (every(segmentation=flat), '24 polygons are not a list of lists'),
    'points': (every(segmentation=points), '24 polygons are not a list of lists'),
}


@pytest.mark.parametrize('case', REPAIRS)
def test_unambiguous_mistakes_are_fixed_in_a_copy(folder, tmp_path, case):
    """The copy equals the original file."""
    change, said = REPAIRS[case]
    path = write(tmp_path / 'a.json', changed(change))
    before = path.read_bytes()
    result = check(path, folder=str(folder))
    assert not result.errors
    assert said in '; '.join(result.repairs)
    assert path.read_bytes() == before
    copy = json.loads(Path(result.copy).read_text())
    assert copy == content()
    assert result.kept == result.learned == OBJECTS


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_byte_order_marks_are_read(folder, tmp_path, encoding):
    from swinv2_dense.own_data import read_classes

    coco = content()
    coco['categories'][0]['name'] = 'Glühbirne'
    path = write(tmp_path / 'a.json', coco, encoding)
    result = check(path, folder=str(folder), classes=())
    assert not result.errors
    assert 'byte-order mark' in result.repairs[0]
    assert json.loads(Path(result.copy).read_bytes()) == coco
    assert read_classes(str(path)) == ('Glühbirne', *CLASSES[1:])


@pytest.mark.parametrize('name', ['encoding', 'classes'])
def test_another_encoding_is_reported_with_its_conversion(tmp_path, name):
    from swinv2_dense.errors import ConfigError
    from swinv2_dense.own_data import read_classes

    coco = content()
    coco['categories'][0]['name'] = 'Glühbirne'
    for encoding, told in (('latin-1', 'ISO-8859-1'), ('cp1252', 'WINDOWS-1252')):
        coco['info'] = '\xe9' if encoding == 'latin-1' else '\u20ac'
        path = write(tmp_path / 'a.json', coco, encoding)
        if name == 'classes':
            with pytest.raises(ConfigError) as error:
                read_classes(str(path))
            text = str(error.value)
        else:
            (text,) = check(path).errors
        assert 'is not UTF-8: byte 0xfc' in text
        assert f'convert it: iconv -f {told} -t UTF-8 {path} > NEW.json' in text


def test_areas_are_computed_from_masks_before_boxes(tmp_path):
    """A triangle of half its box, RLE of 12 pixels, and a box without a mask."""
    coco = changed(every(area=None))
    coco['annotations'][0]['segmentation'] = [[0, 0, 10, 0, 0, 8]]
    counts = [HEIGHT * 3, 12, HEIGHT * (WIDTH - 3) - 12]
    coco['annotations'][1]['segmentation'] = dict(size=[HEIGHT, WIDTH], counts=counts)
    del coco['annotations'][2]['segmentation']
    result = check(write(tmp_path / 'a.json', coco), with_masks=False)
    areas = [a['area'] for a in json.loads(Path(result.copy).read_text())['annotations']]
    assert areas[:4] == [40, 12, 400, 33 * 24]


def test_boxes_are_computed_from_rle(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:9, 20:31] = 1
    column = mask.T.ravel()
    ends = np.flatnonzero(np.diff(column)) + 1
    counts = np.diff([0, *ends, column.size]).tolist()
    coco = changed(one(bbox=None, segmentation=dict(size=[HEIGHT, WIDTH], counts=counts)))
    result = check(write(tmp_path / 'a.json', coco))
    copy = json.loads(Path(result.copy).read_text())
    assert copy['annotations'][4]['bbox'] == [20, 5, 11, 4]


def test_polygons_without_an_area_are_dropped_or_ignored(tmp_path):
    coco = content()
    sound = coco['annotations'][0]['segmentation'][0]
    coco['annotations'][0]['segmentation'] = [sound, [1, 2, 3, 4], []]
    coco['annotations'][1]['segmentation'] = [[7, 8]]
    path = write(tmp_path / 'a.json', coco)
    result = check(path)
    assert [line.split(',')[0] for line in result.repairs] == [
        '1 annotations only have polygons of odd or fewer than 6 numbers',
        '1 annotations have some polygons of odd or fewer than 6 numbers',
    ]
    first, second = json.loads(Path(result.copy).read_text())['annotations'][:2]
    assert (first['segmentation'], first['iscrowd']) == ([sound], 0)
    assert (second['segmentation'], second['iscrowd']) == ([[50, 8, 90, 8, 90, 33, 50, 33]], 1)
    assert (result.kept, result.learned) == (OBJECTS, OBJECTS - 1)
    assert check(path, is_evaluated=False).copy is None  # mmdet trains on it as it is


def test_training_accepts_ids_from_0(tmp_path):
    """Large files are not copied unnecessarily."""
    path = write(tmp_path / 'a.json', changed(from_0))
    assert check(path, is_evaluated=False).copy is None


@pytest.mark.parametrize('split', ['train2017', 'val2017'])
def test_real_files_pass(samples, split):
    from mmdet.datasets import CocoDataset

    path = samples / 'coco_mini' / 'annotations' / f'instances_{split}.json'
    classes = CocoDataset.METAINFO['classes']
    folder = str(samples / 'coco_mini' / split)
    result = check(path, classes=classes, folder=folder)
    assert not result.errors + result.repairs
    assert result.kept == result.listed == len(json.loads(path.read_text())['annotations'])
