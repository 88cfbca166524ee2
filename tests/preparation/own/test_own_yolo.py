"""Layouts of YOLO against a hand-made truth."""

from __future__ import annotations

import json

import pytest
from format_writers import write_image, write_yolo
from own_truth import BOXES, in_splits, objects_of, truth

from swinv2_dense.preparation.own.prepare import Options, prepare


@pytest.mark.parametrize('layout', ['beside', 'labels first', 'darknet'])
def test_layouts_of_yolo(layout, tmp_path):
    """Labels beside images; labels/train instead of train/labels; obj.names with train.txt."""
    write_yolo(tmp_path / 'made', BOXES)
    made, root = tmp_path / 'made', tmp_path / 'src'
    places = dict(beside=('{}', '{}'), darknet=('obj_train_data/{}', 'obj_train_data/{}')).get(
        layout, ('train/images/{}', 'train/labels/{}')
    )
    for kind, place in zip(('images', 'labels'), places):
        for path in (made / kind).iterdir():
            target = root / place.format(path.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    name = dict(darknet='obj.names').get(layout, 'classes.txt')
    (root / name).write_text('cat\ndog\n')
    assert objects_of(prepare(root, Options())) == truth(BOXES)


def test_case_of_names(tmp_path):
    """Images/ and Labels/; but a.txt is not the label of A.jpg if there is an A.txt."""
    write_yolo(tmp_path / 'src', BOXES)
    for name in ('images', 'labels'):
        (tmp_path / 'src' / name).rename(tmp_path / 'src' / name.title())
    assert objects_of(prepare(tmp_path / 'src', Options())) == truth(BOXES)
    scenes = [BOXES[0], BOXES[1]._replace(name='A.jpg')]
    write_yolo(tmp_path / 'two', scenes)
    assert objects_of(prepare(tmp_path / 'two', Options())) == truth(scenes)
    (tmp_path / 'two/labels/A.txt').unlink()
    prepared = prepare(tmp_path / 'two', Options())
    assert objects_of(prepared) == truth([scenes[0], scenes[1]._replace(things=())])


@pytest.mark.parametrize(
    ('path', 'train', 'val'),
    [
        (None, '../train/images', '../valid/images'),  # Roboflow
        ('/datasets/mine', 'train/images', 'valid/images'),
        ('.', ['train/images'], 'valid'),
        (None, 'train.txt', 'val.txt'),
    ],
)
def test_places_of_data_yaml(path, train, val, tmp_path):
    root = tmp_path / 'src'
    write_yolo(tmp_path / 'made', in_splits(BOXES))
    for old, new in (('train', 'train'), ('val', 'valid')):
        for kind in ('images', 'labels'):
            (root / new).mkdir(parents=True, exist_ok=True)
            (tmp_path / 'made' / kind / old).rename(root / new / kind)
    (root / 'train.txt').write_text('./train/images/a.jpg\n./train/images/b.png\n')
    (root / 'val.txt').write_text('/home/me/mine/valid/images/c.jpg\n')
    settings = dict(train=train, val=val, names={0: 'cat', 1: 'dog'})
    (root / 'data.yaml').write_text(json.dumps(settings | (dict(path=path) if path else {})))
    prepared = prepare(root, Options())
    assert {s: len(found) for s, found in prepared.splits.items()} == dict(train=2, val=1)
    assert objects_of(prepared) == truth(BOXES)


def test_images_outside_of_the_places_in_data_yaml(tmp_path):
    """Unlabeled images beside a dataset are not taken for images without objects."""
    write_yolo(tmp_path, in_splits(BOXES))
    write_image(tmp_path / 'images' / 'unlabeled' / 'd.jpg', BOXES[0]._replace(name='d.jpg'))
    prepared = prepare(tmp_path, Options())
    assert objects_of(prepared) == truth(BOXES)
    assert prepared.notes.warnings['images outside of the places in data.yaml, left out'] == [
        'images/unlabeled/d.jpg'
    ]


def test_yolo_without_names(tmp_path):
    write_yolo(tmp_path, BOXES)
    (tmp_path / 'data.yaml').unlink()
    prepared = prepare(tmp_path, Options())
    assert prepared.found.classes == ['class 0', 'class 1']
    assert 'classes without a name' in '\n'.join(prepared.notes.short())


def test_images_without_a_label_file_are_named_negatives(tmp_path):
    write_yolo(tmp_path, BOXES)
    (tmp_path / 'labels' / 'c.txt').unlink()
    prepared = prepare(tmp_path, Options())
    assert objects_of(prepared) == truth(BOXES)
    assert prepared.notes.warnings[
        'images without a label file, kept as images without objects'
    ] == ['images/c.jpg']


def test_keypoints_are_named_and_their_boxes_used(tmp_path):
    write_yolo(tmp_path, BOXES)
    for path in (tmp_path / 'labels').iterdir():
        rows = path.read_text().split('\n')
        path.write_text('\n'.join(f'{row} 0.5 0.5 2 0.1 0.1 0' if row else row for row in rows))
    with (tmp_path / 'data.yaml').open('a') as file:
        file.write('kpt_shape: [2, 3]\n')
    prepared = prepare(tmp_path, Options())
    assert objects_of(prepared) == truth(BOXES)
    assert 'keypoints, of which only the boxes are used' in prepared.notes.warnings


def test_text_files_of_windows(tmp_path):
    """With a byte order mark, and CR LF."""
    write_yolo(tmp_path, BOXES, yaml=False)
    for path in tmp_path.rglob('*.txt'):
        path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes().replace(b'\n', b'\r\n'))
    assert objects_of(prepare(tmp_path, Options())) == truth(BOXES)
