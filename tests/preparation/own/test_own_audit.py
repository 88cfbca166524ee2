"""Whatever is not used is named: planted defects of images, boxes and classes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from format_writers import (
    Scene,
    Thing,
    coco_dict,
    write_coco,
    write_image,
    write_labelme,
    write_yolo,
)
from PIL import Image

from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation.own import write_objects
from swinv2_dense.preparation.own.exif import read_header, without_rotation
from swinv2_dense.preparation.own.prepare import Options, Prepared, prepare

CAT = Thing('cat', (10.0, 20.0, 30.0, 15.0))
SCENES = [Scene(f'{stem}.jpg', 80, 60, (CAT,)) for stem in 'abcd']


def write_all(root: Path, scenes: list[Scene], classes: list[str]) -> Path:
    write_coco(root, scenes)
    (root / 'annotations' / 'all.json').write_text(json.dumps(coco_dict(scenes, classes)))
    return root


def boxes_of(prepared: Prepared) -> dict[str, list]:
    return {s.path.name: [o.box for o in s.objects] for s in prepared.found.samples}


def test_boxes_at_the_border(tmp_path):
    planted = {
        'over by a hair': ((-0.4, 0.0, 20.4, 10.0), (0.0, 0.0, 20.0, 10.0)),
        'over': ((70.0, 50.0, 20.0, 20.0), (70.0, 50.0, 10.0, 10.0)),
        'outside': ((90.0, 10.0, 20.0, 20.0), None),
        'thin': ((10.0, 10.0, 0.5, 20.0), None),
    }
    things = tuple(Thing('cat', box) for box, _ in planted.values())
    write_all(tmp_path, [SCENES[0], Scene('x.jpg', 80, 60, things)], ['cat'])
    prepared = prepare(tmp_path, Options())
    found = boxes_of(prepared)['x.jpg']
    assert [tuple(np.round(box, 6)) for box in found] == [box for _, box in planted.values() if box]
    named = {kind: len(which) for kind, which in prepared.notes.warnings.items() if 'boxes' in kind}
    assert named == {
        'boxes over the border of their image, clipped': 1,
        'boxes outside of their image, left out': 1,
        'boxes less than a pixel wide or high, left out': 1,
    }


def test_classes_images_and_objects_that_are_not_used(tmp_path):
    scenes = [*SCENES[:3], Scene('twice.jpg', 80, 60, (CAT, CAT)), Scene('empty.jpg', 80, 60)]
    write_all(tmp_path, scenes, ['zebra', 'cat'])
    write_image(tmp_path / 'images' / 'loose.jpg', SCENES[3])
    path = tmp_path / 'annotations' / 'all.json'
    content = json.loads(path.read_text())
    content['annotations'].append(dict(content['annotations'][0], id=77, image_id=99))
    path.write_text(json.dumps(content))
    (tmp_path / 'images' / 'x.heic').touch()
    prepared = prepare(tmp_path, Options())
    warnings = prepared.notes.warnings
    assert warnings['classes without objects, left out'] == ['zebra']
    assert prepared.found.classes == ['cat']
    assert warnings['images that no annotation file lists, left out'] == ['images/loose.jpg']
    assert warnings['images without objects, kept as negatives'] == ['images/empty.jpg']
    assert len(warnings['objects that repeat another one of their image, left out']) == 1
    assert len(warnings['annotations of images that the file does not list, left out']) == 1
    assert warnings['images in a format that OpenCV does not read, left out'] == ['images/x.heic']
    assert prepared.needs.has_negatives or 'empty.jpg' in {
        s.path.name for s in prepared.splits['val']
    }


def test_copies_in_two_splits_leave_training(tmp_path):
    scenes = [s._replace(split='val' if s.name == 'd.jpg' else 'train') for s in SCENES]
    write_coco(tmp_path, scenes)
    folder = tmp_path / 'images'
    (folder / 'train' / 'b.jpg').write_bytes((folder / 'val' / 'd.jpg').read_bytes())
    (folder / 'train' / 'c.jpg').write_bytes((folder / 'train' / 'a.jpg').read_bytes())
    prepared = prepare(tmp_path, Options())
    assert [s.path.name for s in prepared.splits['train']] == ['a.jpg', 'c.jpg']
    assert prepared.notes.warnings['identical files in several splits, left out of train'] == [
        'images/train/b.jpg, images/val/d.jpg'
    ]
    assert 'identical files, kept in the same split' in prepared.notes.warnings


def rotate(path: Path, orientation: int) -> None:
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, quality=95)


@pytest.mark.parametrize('orientation', [3, 6, 8])
@pytest.mark.parametrize('writer', [write_coco, write_labelme])
def test_annotations_of_the_rotated_image(writer, orientation, tmp_path):
    """As viewers show it: nothing changes, and the loader rotates as well."""
    size = (60, 80) if orientation > 4 else (80, 60)
    scene = Scene('turned.jpg', *size, (CAT,))
    writer(tmp_path / 'src', [*SCENES, scene])
    (path,) = (tmp_path / 'src').rglob('turned.jpg')
    write_image(path.with_name('plain.jpg'), SCENES[0])
    path.with_name('plain.jpg').replace(path)
    rotate(path, orientation)
    prepared = prepare(tmp_path / 'src', Options())
    sample = next(s for s in prepared.found.samples if s.path.name == 'turned.jpg')
    assert sample.loaded == size == cv2.imread(str(path)).shape[1::-1]
    assert not sample.drops_rotation
    assert any('rotated by EXIF; annotations are taken' in kind for kind in prepared.notes.warnings)


def test_annotations_of_the_stored_pixels(tmp_path):
    """The copy has no such tag, so the loader returns the pixels that were annotated."""
    write_coco(tmp_path / 'src', SCENES)
    path = tmp_path / 'src' / 'images' / 'b.jpg'
    rotate(path, 6)
    before = path.read_bytes()
    prepared = prepare(tmp_path / 'src', Options())
    (sample,) = [s for s in prepared.found.samples if s.drops_rotation]
    assert sample.loaded == (80, 60)
    write_objects.write(prepared.found, prepared.splits, tmp_path / 'src', tmp_path / 'out', False)
    (copy,) = (tmp_path / 'out').rglob('b.jpg')
    assert cv2.imread(str(copy)).shape == (60, 80, 3)
    ignoring = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert np.array_equal(cv2.imread(str(copy)), ignoring)
    assert path.read_bytes() == before
    assert sum(a != b for a, b in zip(before, copy.read_bytes())) == 1


def test_yolo_means_the_rotated_image(tmp_path):
    scene = Scene('turned.jpg', 60, 80, (CAT,))
    write_yolo(tmp_path, [*SCENES, scene])
    path = tmp_path / 'images' / 'turned.jpg'
    path.unlink()
    write_image(path, SCENES[0]._replace(name='turned.jpg'))
    rotate(path, 6)
    prepared = prepare(tmp_path, Options())
    assert np.allclose(boxes_of(prepared)['turned.jpg'], [CAT.box])


@pytest.mark.parametrize('form', ['PNG', 'JPEG'])
def test_orientation_of_other_files(form, tmp_path):
    path = tmp_path / 'x'
    Image.new('RGB', (8, 6)).save(path, form)
    assert read_header(path) == (8, 6, 1)
    assert without_rotation(path.read_bytes()) is None
    for end in range(0, len(path.read_bytes()), 40):
        assert without_rotation(path.read_bytes()[:end]) is None


def test_a_rotated_png_with_annotations_of_the_stored_pixels(tmp_path):
    write_coco(tmp_path, [s._replace(name=f'{s.name[0]}.png') for s in SCENES])
    path = tmp_path / 'images' / 'b.png'
    image = Image.open(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    if cv2.imread(str(path)).shape[:2] == (60, 80):  # older OpenCV does not rotate PNG files
        assert boxes_of(prepare(tmp_path, Options()))['b.png']
    else:
        with pytest.raises(ConfigError, match='annotated without the rotation'):
            prepare(tmp_path, Options())


def test_broken_files_are_left_out_on_demand(tmp_path):
    write_coco(tmp_path, SCENES)
    (tmp_path / 'images' / 'a.jpg').write_bytes(b'')
    (tmp_path / 'images' / 'b.jpg').unlink()
    prepared = prepare(tmp_path, Options(skip_broken=True))
    assert sorted(boxes_of(prepared)) == ['c.jpg', 'd.jpg']
    assert [
        len(which) for kind, which in prepared.notes.warnings.items() if 'left out' in kind
    ] == [1, 1]
