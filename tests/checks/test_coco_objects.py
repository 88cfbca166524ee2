"""Annotation files that would train or evaluate wrongly are rejected, or fixed if unambiguous."""

from __future__ import annotations

from pathlib import Path

import cv2
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
    images,
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


def merged(coco: dict) -> dict:
    """Two files that both count from 1, concatenated."""
    other = content()
    for image in other['images']:
        image['file_name'] = 'b' + image['file_name']
    return {key: coco[key] + other[key] * (key != 'categories') for key in coco}


def shifted(coco: dict) -> None:
    for annotation in coco['annotations']:
        annotation['category_id'] -= 1


def images_from_0(coco: dict) -> None:
    for annotation in coco['annotations']:
        annotation['image_id'] -= 1


def twice_listed(coco: dict) -> None:
    coco['images'].append(dict(coco['images'][1], id=99))
    coco['annotations'][5]['image_id'] = 99


def as_fractions(annotation: dict) -> list[float]:
    x, y, w, h = annotation['bbox']
    return [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]


def as_corners(annotation: dict) -> list[float]:
    x, y, w, h = annotation['bbox']
    return [x, y, x + w, y + h]


def as_center(annotation: dict) -> list[float]:
    x, y, w, h = annotation['bbox']
    return [x + w / 2, y + h / 2, w, h]


FAULTS = {
    'categories from 1, annotations from 0': (
        shifted,
        [
            f'12 of {OBJECTS} annotations have the category_id of no listed category',
            'annotation 1 ',
        ],
        'they start at 0 and the list starts at 1: add 1 to each',
    ),
    'an unknown category': (
        one(category_id=77),
        [f'1 of {OBJECTS} annotations', 'annotation 5 with category_id 77'],
        'fix it, or list the category',
    ),
    'images from 0': (
        images_from_0,
        ['4 of', 'annotation 1 with image_id 0'],
        'they start at 0 and the list starts at 1: add 1 to each',
    ),
    'no category id': (one(category_id=None), ['1 annotations have no category_id', ' 5'], 'add'),
    'fractions': (
        every(bbox=as_fractions),
        [f'{OBJECTS} of {OBJECTS} boxes lie within 0..1', 'annotation 1 [0.0416'],
        "multiply by the image's width and height",
    ),
    'some fractions': (
        lambda coco: [one(i, bbox=as_fractions)(coco) for i in range(4, 10)] and None,
        [f'6 of {OBJECTS} boxes lie within 0..1', 'annotation 5 ['],
        'multiply',
    ),
    'corners': (
        every(bbox=as_corners),
        ['boxes overrun their image', 'annotation 2 [50, 8, 90, 33] in image 1 of 96 x 64'],
        'write x, y, width, height: subtract x1 from x2',
    ),
    'corners without masks': (
        every(bbox=as_corners, segmentation=None),
        ['boxes overrun their image', 'annotation 2 [50, 8, 90, 33]'],
        'write x, y, width, height: subtract x1 from x2',
    ),
    'corners of small objects in the first quarter': (
        every(bbox=[10, 10, 14, 15], area=20, segmentation=[[10, 10, 14, 10, 14, 15, 10, 15]]),
        [f'{OBJECTS} of {OBJECTS} boxes', 'miss their mask', 'they are x1, y1, x2, y2'],
        'subtract x1 from x2',
    ),
    'centers': (
        every(bbox=as_center),
        ['they are center x, center y, width, height', 'annotation 2 [70, 20.5, 40, 25]'],
        'subtract half of the width',
    ),
    'negative boxes': (
        every(bbox=lambda a: [*a['bbox'][:2], -5, 10]),
        [f'{OBJECTS} of {OBJECTS} objects are dropped'],
        'less than a pixel wide or high',
    ),
    'five of 24 boxes elsewhere': (
        lambda coco: [one(i, bbox=[500, 2, 9, 9])(coco) for i in range(5)] and None,
        [
            f'5 of {OBJECTS} objects are dropped (5 outside their image)',
            '10%, first annotation 1;',
        ],
        'fix them, or remove them',
    ),
    'boxes that are not finite': (
        one(bbox=[1, 2, float('nan'), 4]),
        ['1 bboxes are not four finite numbers', 'annotation 5: [1, 2, nan, 4]'],
        '',
    ),
    'three numbers': (one(bbox=[1, 2, 4]), ['not four finite numbers', 'annotation 5: [1'], ''),
    'no box and no mask': (
        one(bbox=None, segmentation=None),
        ['annotations have no bbox, and no mask', 'annotation 5'],
        '',
    ),
    'crowds': (
        every(iscrowd=1),
        [
            '24 objects are listed, first annotation 1, and none is kept: the remaining 24',
            'iscrowd=1',
        ],
        'write iscrowd=0 for objects',
    ),
    'ignored': (
        every(ignore=1),
        ['24 objects are listed, first annotation 1, and none is kept'],
        'AP',
    ),
    'no annotations': (dict(annotations=[]), ['0 objects are listed, and none is kept'], 'AP'),
    'no list of annotations': (
        dict(annotations=None),
        ["has no list 'annotations'", 'AP is -1'],
        'use the file with the annotations',
    ),
    'classes elsewhere': (
        lambda coco: (
            one(0, category_id=4)(coco)
            or dict(coco, categories=[dict(id=k + 1, name='xyzw'[k]) for k in range(4)])
        ),
        ['none has a class of the config'],
        'Fix metainfo.classes',
    ),
    'swapped sizes': (
        images(width=HEIGHT, height=WIDTH),
        ['6 images have width and height swapped', "'0.jpg': 64 x 96 in the file, 96 x 64"],
        'swap them in the file',
    ),
    'half the size': (
        images(width=WIDTH // 2, height=HEIGHT // 2),
        ['6 images have another size than in the file', "'0.jpg': 48 x 32 in the file, 96 x 64"],
        'export the annotations for these images',
    ),
    'merged files': (
        merged,
        ['6 images have the id of another', "'b0.jpg', which has id 1 like '0.jpg'"],
        'give each image its own id',
    ),
    'an image listed twice': (
        twice_listed,
        ['1 images are listed again', "'1.jpg' with ids 2 and 99"],
        'list each image once',
    ),
    'a category id twice': (
        lambda coco: coco['categories'].append(dict(id=2, name='fork')),
        ["1 categories have the id of another category, first 'fork', which has id 2 like 'plate'"],
        'give each its own',
    ),
    'a category name twice': (
        lambda coco: coco['categories'].append(dict(id=9, name='cup')),
        ["1 categories have the name of another category, first 'cup'"],
        'give each its own',
    ),
    'no masks': (
        every(segmentation=[]),
        [f'{OBJECTS} of {OBJECTS} objects have no segmentation', 'annotation 1'],
        'for boxes only, use configs/_base_/datasets/own_boxes.py',
    ),
    'lines as masks': (
        lambda coco: [one(i, segmentation=[[1, 2, 3, 4]])(coco) for i in range(3, 9)] and None,
        ['6 of 24 objects are dropped (6 ignored, having only polygons of odd or fewer'],
        'more than 10%',
    ),
    'far masks': (
        one(segmentation=[[1e9, 0, 0, 1e9, 5, 5]]),
        ['1 masks are wrong: polygon with a coordinate', 'annotation 5'],
        'fix it',
    ),
    'polygons as fractions': (
        every(segmentation=lambda a: [[side / 100 for side in a['segmentation'][0]]]),
        ['24 of 24 boxes do not touch their mask', 'annotation 1 [4, 6, 30, 20]'],
        'write both in pixels',
    ),
    'RLE across': (
        one(segmentation=dict(size=[WIDTH, HEIGHT], counts=[100, 60, WIDTH * HEIGHT - 160])),
        ['1 masks are RLE of another size', 'annotation 5: 96 x 64, not 64 x 96'],
        'write the size as [height, width]',
    ),
    'a file merged with itself': (
        lambda coco: {key: coco[key] * (1 + (key != 'categories')) for key in coco},
        ['24 of 48 annotations duplicate the image, category, bbox and mask of', 'annotation 1'],
        'remove the copies',
    ),
    'numbers as annotations': (dict(annotations=[3]), ['annotations', 'annotations[0]=3'], ''),
    'images without names': (images(file_name=None), ['6 images have no id or file_name'], ''),
    'a panoptic file': (every(segments_info=[]), ['segments_info'], 'CocoPanopticDataset'),
}


@pytest.mark.parametrize('case', FAULTS)
def test_an_error_gives_the_first_annotation_and_the_remedy(folder, tmp_path, case):
    change, parts, remedy = FAULTS[case]
    if isinstance(change, dict):
        coco = {key: value for key, value in {**content(), **change}.items() if value is not None}
    else:
        coco = changed(change)
    result = check(write(tmp_path / 'a.json', coco), folder=str(folder))
    text = '; '.join(result.errors)
    for part in (*parts, remedy):
        assert part in text
    assert '\n' not in text
    assert result.copy is None


def test_a_correct_file_passes_unchanged(folder, tmp_path):
    result = check(write(tmp_path / 'a.json', content()), folder=str(folder))
    assert not result.errors + result.repairs + result.notes
    assert result.copy is None
    assert result.counts == '24 of 24 objects kept, in 6 of 6 images'


# ---------------------------------------------------------------------------------- image files


def turned(folder: Path, orientation: int) -> Path:
    """The images with an EXIF tag, by which mmcv rotates them."""
    from PIL import Image

    folder.mkdir()
    for i in range(IMAGES):
        pixels = np.random.default_rng(i).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(folder / f'{i}.jpg', exif=exif)
    return folder


def test_sizes_are_compared_with_the_loaded_pixels(tmp_path):
    folder = turned(tmp_path / 'images', 6)
    assert cv2.imread(str(folder / '0.jpg')).shape[:2] == (WIDTH, HEIGHT)
    path = write(tmp_path / 'a.json', content())
    (error,) = check(path, folder=str(folder)).errors
    assert error.startswith("6 images have the size before rotation by EXIF, first '0.jpg'")
    assert 'color_ignore_orientation' in error
    assert not check(path, folder=str(folder), is_rotated=False).errors
    upright = write(tmp_path / 'b.json', changed(images(width=HEIGHT, height=WIDTH)))
    assert not any('size' in e for e in check(upright, folder=str(folder)).errors)
    (error,) = check(upright, folder=str(folder), is_rotated=False).errors
    assert "color_type='color'" in error


def test_one_pixel_is_noted_and_missing_files_are_ignored(folder, tmp_path):
    path = write(tmp_path / 'a.json', changed(images(width=WIDTH + 1)))
    result = check(path, folder=str(folder))
    assert not result.errors
    assert result.notes[0].startswith('6 images are up to 2 pixels larger or smaller than in')
    gone = changed(images(file_name=lambda image: f'gone{image["id"]}.jpg'))
    assert not check(write(tmp_path / 'b.json', gone), folder=str(folder)).errors
    assert (
        'height of 1 or more'
        in check(
            write(tmp_path / 'c.json', changed(lambda c: without_sizes(c))), folder=None
        ).errors[0]
    )


def test_only_some_of_many_images_are_compared(folder, tmp_path, monkeypatch):
    monkeypatch.setattr('swinv2_dense.checks.coco_sizes.COMPARED', 2)
    result = check(write(tmp_path / 'a.json', content()), folder=str(folder), min_size=1)
    assert result.notes == ['only 2 of its 6 images are checked for size']


# ------------------------------------------------------------------- counted as mmdet keeps them


def scattered(rng: np.random.Generator) -> dict:
    """Objects of every kind that mmdet drops, keeps, or ignores."""
    coco = content()
    coco['images'].append(dict(id=50, file_name='empty.jpg', width=WIDTH, height=HEIGHT))
    coco['images'][2].update(width=20)
    for annotation in coco['annotations']:
        x, y = rng.integers(-30, 110, 2)
        w, h = rng.choice([0, 0.5, 1, 9, 30], 2)
        annotation.update(
            bbox=[float(x), float(y), float(w), float(h)],
            area=float(rng.choice([5, 50])),
            iscrowd=int(rng.random() < 0.1),
            ignore=int(rng.random() < 0.1),
        )
        del annotation['segmentation']
    for index in rng.integers(0, len(coco['annotations']), 2):  # more would be filled in
        coco['annotations'][index]['area'] = float(rng.choice([-1, 0]))
    return coco


@pytest.mark.filterwarnings('ignore')
def test_objects_are_counted_as_mmdet_keeps_them(tmp_path):
    datasets = pytest.importorskip('mmdet.datasets')
    rng = np.random.default_rng(0)
    for trial in range(40):
        path = write(tmp_path / f'{trial}.json', scattered(rng))
        classes = CLASSES[: rng.integers(1, 4)]
        filters = rng.choice([None, dict(filter_empty_gt=True, min_size=32), dict(min_size=10)])
        indices = (None, 4, [0, 0, 3])[trial % 3]
        test_mode = bool(rng.random() < 0.3)
        result = check(
            path,
            classes=classes,
            is_filtered=filters is not None and not test_mode,
            filter_empty=bool((filters or {}).get('filter_empty_gt')),
            min_size=(filters or {}).get('min_size', 0),
            indices=tuple(indices) if isinstance(indices, list) else indices,
            is_evaluated=False,
            with_masks=False,
        )
        real = datasets.CocoDataset(
            ann_file=str(path),
            data_prefix=dict(img=''),
            metainfo=dict(classes=classes),
            filter_cfg=filters,
            indices=indices,
            test_mode=test_mode,
            serialize_data=False,
        )
        objects = [i for info in real.data_list for i in info['instances']]
        assert result.kept == len(objects)
        assert result.learned == sum(not i['ignore_flag'] for i in objects)
        assert f'in {len(real)} of 7 images' in result.counts


def test_drops_that_the_config_asks_for_are_not_errors(tmp_path):
    path = write(tmp_path / 'a.json', content())
    result = check(path, classes=('spoon',))
    assert not result.errors
    assert result.counts == ('6 of 24 objects kept, in 6 of 6 images; dropped: 18 of other classes')
    two = changed(lambda coco: [one(i, bbox=[500, 2, 9, 9])(coco) for i in range(2)] and None)
    result = check(write(tmp_path / 'b.json', two))
    assert not result.errors
    assert result.counts.endswith('dropped: 2 outside their image')
    absent = changed(lambda coco: coco['categories'].append(dict(id=9, name='fork')))
    result = check(write(tmp_path / 'c.json', absent), classes=(*CLASSES, 'fork'))
    assert result.notes == ['1 of 4 classes have no object: fork']


def test_lists_of_test_images_need_no_annotations(folder, tmp_path):
    coco = content()
    del coco['annotations']
    path = write(tmp_path / 'a.json', coco)
    assert not check(path, folder=str(folder), needs_objects=False).errors
