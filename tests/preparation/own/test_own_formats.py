"""Each format against a hand-made truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from format_writers import (
    OBJECT_WRITERS,
    Scene,
    coco_dict,
    write_coco,
    write_image,
    write_yolo,
)
from own_truth import BOXES, MASKS, in_splits, objects_of, things_of, truth
from PIL import Image

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation.own.prepare import Options, prepare


@pytest.mark.parametrize('name', OBJECT_WRITERS)
def test_boxes(name, tmp_path):
    OBJECT_WRITERS[name](tmp_path / 'src', BOXES)
    prepared = prepare(tmp_path / 'src', Options())
    assert objects_of(prepared) == truth(BOXES)
    assert prepared.target == 'boxes'
    assert prepared.found.classes == ['cat', 'dog']
    assert {split: len(samples) for split, samples in prepared.splits.items()} == dict(
        train=2, val=1
    )


@pytest.mark.parametrize('name', [name for name in OBJECT_WRITERS if name != 'voc'])
def test_masks(name, tmp_path):
    OBJECT_WRITERS[name](tmp_path / 'src', MASKS)
    prepared = prepare(tmp_path / 'src', Options())
    assert objects_of(prepared) == truth(MASKS)
    assert prepared.target == 'masks'


@pytest.mark.parametrize('name', [name for name in OBJECT_WRITERS if name != 'cvat coco'])
def test_splits_of_the_source_are_kept(name, tmp_path):
    OBJECT_WRITERS[name](tmp_path / 'src', in_splits(BOXES))
    prepared = prepare(tmp_path / 'src', Options())
    names = {s: [sample.path.name for sample in found] for s, found in prepared.splits.items()}
    assert names == dict(train=['a.jpg', 'b.png'], val=['c.jpg'])
    assert objects_of(prepared) == truth(BOXES)


def test_the_source_is_recognized_with_a_reason(tmp_path):
    reasons = {}
    for name, write in OBJECT_WRITERS.items():
        write(tmp_path / name, BOXES)
        report = prepare(tmp_path / name, Options()).report
        reasons[name] = next(line for line in report if line.startswith('format: '))
    assert reasons == {
        'coco': 'format: coco, annotations/all.json with images, annotations and categories',
        'roboflow': 'format: coco, Roboflow export, train/_annotations.coco.json with images, '
        'annotations and categories',
        'cvat coco': 'format: coco, annotations/instances_default.json with images, annotations '
        'and categories',
        'yolo': 'format: yolo, 3 images with a .txt of the same name, and data.yaml',
        'voc': 'format: voc, 3 .xml files with <annotation>',
        'labelme': 'format: labelme, 3 .json files with shapes and imagePath',
    }


def test_two_formats_are_refused_until_one_is_chosen(tmp_path):
    write_coco(tmp_path, BOXES)
    write_yolo(tmp_path, BOXES)
    with pytest.raises(
        ConfigError, match=r'looks like several formats \(coco: .*; yolo: .*\)'
    ) as e:
        prepare(tmp_path, Options())
    assert str(e.value).endswith('choose one with --format coco|yolo')
    for name in ('coco', 'yolo'):
        assert objects_of(prepare(tmp_path, Options(format=name))) == truth(BOXES)
    with pytest.raises(
        ConfigError, match='--format=voc: .* has no such files; it has 8 files, 3 .txt'
    ):
        prepare(tmp_path, Options(format='voc'))


def test_an_archive(tmp_path):
    (tmp_path / 'pets.zip').touch()
    with pytest.raises(ConfigError, match=r'has no annotations; unpack pets\.zip first'):
        prepare(tmp_path, Options())


def test_the_own_format_of_cvat(tmp_path):
    write_image(tmp_path / 'a.jpg', BOXES[0])
    (tmp_path / 'annotations.xml').write_text(
        '<?xml version="1.0"?><annotations><image id="0" name="a.jpg"/></annotations>'
    )
    with pytest.raises(ConfigError, match='is in "CVAT for images" .* export "COCO 1.0"'):
        prepare(tmp_path, Options())


def test_one_image(tmp_path):
    write_coco(tmp_path, BOXES[:1])
    with pytest.raises(ConfigError, match='one sample is too few for training and validation'):
        prepare(tmp_path, Options())


def test_a_folder_without_annotations(tmp_path):
    write_image(tmp_path / 'a.jpg', BOXES[0])
    (tmp_path / 'README').write_text('hello')
    with pytest.raises(ConfigError, match='no annotations in a known format; it has 2 files, 1 no'):
        prepare(tmp_path, Options())


# ------------------------------------------------------------------------------------------- COCO


def test_two_coco_files_of_the_same_images(tmp_path):
    write_coco(tmp_path, BOXES)
    content = (tmp_path / 'annotations' / 'all.json').read_text()
    (tmp_path / 'annotations' / 'stuff.json').write_text(content.replace('"cat"', '"sky"'))
    with pytest.raises(
        ConfigError, match=r'both annotate images/a\.jpg; say which .* --annotations'
    ):
        prepare(tmp_path, Options())
    found = prepare(tmp_path, Options(annotations=['annotations/stuff.json'])).found
    assert found.classes == ['sky', 'dog']
    with pytest.raises(ConfigError, match='--annotations other.json: there is no such file in'):
        prepare(tmp_path, Options(annotations=['other.json']))


def test_the_files_of_all_splits_are_proposed(tmp_path):
    """COCO's own folder: the command in the message keeps the validation images."""
    write_coco(tmp_path, in_splits(BOXES))
    folder = tmp_path / 'annotations'
    for split in ('train', 'val'):
        (folder / f'{split}.json').rename(folder / f'instances_{split}2017.json')
        content = (folder / f'instances_{split}2017.json').read_text()
        (folder / f'person_keypoints_{split}2017.json').write_text(content)
    with pytest.raises(ConfigError) as error:
        prepare(tmp_path, Options())
    files = str(error.value).rpartition('--annotations ')[2].split()
    assert files == [f'annotations/instances_{split}2017.json' for split in ('train', 'val')]
    assert objects_of(prepare(tmp_path, Options(annotations=files))) == truth(BOXES)


def test_one_file_for_images_in_folders_of_splits(tmp_path):
    write_coco(tmp_path, in_splits(BOXES))
    for split in ('train', 'val'):
        (tmp_path / f'annotations/{split}.json').unlink()
    (tmp_path / 'all.json').write_text(json.dumps(coco_dict(BOXES, ['cat', 'dog'])))
    prepared = prepare(tmp_path, Options())
    assert [sample.path.name for sample in prepared.splits['val']] == ['c.jpg']
    assert objects_of(prepared) == truth(BOXES)


def test_umlauts_of_apple(tmp_path):
    """A file system that stores an umlaut as two characters, and annotations with one."""
    scenes = [BOXES[0]._replace(name='K\u00e4tzchen.jpg'), BOXES[1]]
    write_coco(tmp_path, scenes)
    (tmp_path / 'images' / scenes[0].name).rename(tmp_path / 'images' / 'Ka\u0308tzchen.jpg')
    prepared = prepare(tmp_path, Options())
    assert sum(len(things) for things in objects_of(prepared).values()) == 3


def test_paths_of_another_computer_fit_by_their_end(tmp_path):
    """The folder that an export leaves out, a folder that it adds, and a drive of Windows."""
    write_coco(tmp_path, BOXES)
    path = tmp_path / 'annotations' / 'all.json'
    content = json.loads(path.read_text())
    for image, prefix in zip(content['images'], ('old/set/', 'C:\\Users\\me\\', '/home/me/')):
        image['file_name'] = prefix + image['file_name']
    path.write_text(json.dumps(content))
    prepared = prepare(tmp_path, Options())
    assert objects_of(prepared) == truth(BOXES)
    assert prepared.notes.warnings['images found by their name, in another folder'] == [
        "'old/set/a.jpg': images/a.jpg",
        "'C:\\\\Users\\\\me\\\\b.png': images/b.png",
        "'/home/me/c.jpg': images/c.jpg",
    ]


def test_the_split_decides_between_equal_names(tmp_path):
    scenes = [
        scene._replace(name='x.jpg', split=split) for scene, split in zip(BOXES, ('train', 'val'))
    ]
    write_coco(tmp_path, scenes)
    prepared = prepare(tmp_path, Options())
    for split, scene in zip(('train', 'val'), scenes):
        (sample,) = prepared.splits[split]
        assert sample.path == tmp_path / 'images' / split / 'x.jpg'
        assert things_of(sample) == truth([scene])['x.jpg']


def test_images_are_preferred_to_maps_and_to_copies(tmp_path):
    write_coco(tmp_path, BOXES)
    for scene in BOXES:
        write_image(tmp_path / 'masks' / scene.name, scene._replace(name=f'm{scene.name}'))
        write_image(tmp_path / 'old' / 'images' / scene.name, scene._replace(name=f'o{scene.name}'))
    assert {s.path.parent for s in prepare(tmp_path, Options(format='coco')).found.samples} == {
        tmp_path / 'images'
    }


def test_rle_and_crowds_are_kept(tmp_path):
    write_coco(tmp_path, MASKS)
    path = tmp_path / 'annotations' / 'all.json'
    content = json.loads(path.read_text())
    rle = dict(size=[60, 80], counts=[60 * 10 + 5, 12, 60 * 80 - 60 * 10 - 17])
    crowd = dict(image_id=1, category_id=1, iscrowd=1, segmentation=rle, bbox=[10, 5, 1, 12])
    content['annotations'].append(dict(id=9, area=12, **crowd))
    path.write_text(json.dumps(content))
    (first, *_) = [
        s
        for part in prepare(tmp_path, Options()).splits.values()
        for s in part
        if s.path.name == 'a.jpg'
    ]
    assert [(o.is_crowd, o.rle, o.box) for o in first.objects][1] == (True, rle, (10, 5, 1, 12))


# -------------------------------------------------------------------------------------------- VOC


def write_voc_box(root: Path, corners: tuple, extra: str = '') -> Path:
    root.mkdir(exist_ok=True)
    names = ('xmin', 'ymin', 'xmax', 'ymax')
    box = ''.join(f'<{name}>{value}</{name}>' for name, value in zip(names, corners))
    for stem in 'ab':
        write_image(root / f'{stem}.jpg', Scene(f'{stem}.jpg', 80, 60))
        (root / f'{stem}.xml').write_text(
            f'<annotation><filename>{stem}.jpg</filename><object><name>cat</name>{extra}<bndbox>'
            f'{box}</bndbox></object></annotation>'
        )
    return root


def test_voc_counts_pixels_from_1_and_includes_the_last(tmp_path):
    """The devkit's box of the first 10 x 20 pixels; with a 0 or a fraction, it counts from 0."""
    for name, corners, box in (
        ('devkit', (1, 1, 10, 20), (0, 0, 10, 20)),
        ('from 0', (0, 1, 10, 20), (0, 1, 10, 19)),
        ('cvat', (1.0, 1.0, 10.5, 20.0), (1, 1, 9.5, 19)),
    ):
        prepared = prepare(write_voc_box(tmp_path / name, corners), Options())
        assert {o.box for s in prepared.found.samples for o in s.objects} == {box}


def test_difficult_objects_are_ignored(tmp_path):
    write_voc_box(tmp_path, (0, 0, 10, 20), '<difficult>1</difficult>')
    (tmp_path / 'b.xml').write_text((tmp_path / 'b.xml').read_text().replace('t>1<', 't>0<'))
    found = prepare(tmp_path, Options()).found
    assert [o.is_crowd for s in found.samples for o in s.objects] == [True, False]


def test_polygons_of_roboflow(tmp_path):
    points = ''.join(
        f'<{a}{i}>{v}</{a}{i}>'
        for i, p in enumerate(((0, 0), (9, 0), (9, 8)), 1)
        for a, v in zip('xy', p)
    )
    write_voc_box(tmp_path, (0, 0, 9, 8), f'<polygon>{points}</polygon>')
    prepared = prepare(tmp_path, Options())
    assert prepared.target == 'masks'
    assert prepared.found.samples[0].objects[0].polygons == [[0, 0, 9, 0, 9, 8]]


# ---------------------------------------------------------------------------------------- LabelMe


def write_shapes(root: Path, *shapes: dict) -> Path:
    root.mkdir(exist_ok=True)
    for stem in 'ab':
        write_image(root / f'{stem}.jpg', Scene(f'{stem}.jpg', 80, 60))
        content = dict(shapes=shapes, imagePath=f'{stem}.jpg', imageHeight=60, imageWidth=80)
        (root / f'{stem}.json').write_text(json.dumps(content))
    return root


def test_shapes_of_labelme(tmp_path):
    """A mask covers the pixels between two corners, both included; groups are one object."""
    import base64
    import io

    png = io.BytesIO()
    pixels = np.array([[0, 255, 255], [255, 255, 0]], np.uint8)
    Image.fromarray(pixels).save(png, 'PNG')
    mask = base64.b64encode(png.getvalue()).decode()
    part = [[1, 1], [5, 1], [5, 4]]
    prepared = prepare(
        write_shapes(
            tmp_path,
            dict(label='disc', points=[[30, 30], [30, 40]], shape_type='circle'),
            dict(label='mask', points=[[10, 20], [12, 21]], shape_type='mask', mask=mask),
            dict(label='two', points=part, shape_type='polygon', group_id=1),
            dict(label='two', points=np.add(part, 20).tolist(), shape_type='polygon', group_id=1),
            dict(label='other', points=part, shape_type='polygon', group_id=1),
            dict(label='line', points=part, shape_type='linestrip'),
        ),
        Options(),
    )
    disc, masked, two, other = prepared.found.samples[0].objects
    assert np.allclose(disc.box, (20, 20, 20, 20))
    x, y = np.reshape(disc.polygons[0], (-1, 2)).T
    area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    assert area == pytest.approx(np.pi * 100, rel=0.01)
    whole = np.zeros((60, 80), np.uint8)
    whole[20:22, 10:13] = pixels > 0
    from pycocotools import mask as coco_masks

    assert np.array_equal(coco_masks.decode(coco_masks.frPyObjects(masked.rle, 60, 80)), whole)
    assert masked.box == (10, 20, 3, 2)
    assert [len(two.polygons), len(other.polygons)] == [2, 1]
    assert prepared.notes.warnings['points and lines, which have no area, left out'] == [
        'a.json, shapes[5]',
        'b.json, shapes[5]',
    ]


def test_boxes_among_masks_need_a_decision(tmp_path):
    box = dict(label='cat', points=[[1, 2], [11, 22]], shape_type='rectangle')
    polygon = dict(label='cat', points=[[1, 1], [5, 1], [5, 4]], shape_type='polygon')
    write_shapes(tmp_path, box, polygon)
    with pytest.raises(ConfigError, match=r'2 of 4 objects have a box but no mask, first a\.json'):
        prepare(tmp_path, Options())
    assert prepare(tmp_path, Options(target='boxes')).target == 'boxes'
    prepared = prepare(tmp_path, Options(target='masks'))
    assert len(prepared.notes.warnings['objects without a mask, whose region is ignored']) == 2
