"""COCO on disk: each planted fault is reported, and a valid tree has none."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_splits import SIZE, annotation, write_split
from commands import tool
from PIL import Image

from swinv2_dense.preparation import coco, images
from swinv2_dense.preparation.annotations import read_annotations
from swinv2_dense.preparation.report import ReportRow, format_report, is_sound

SPLITS = ('train2017', 'val2017')


@pytest.fixture(scope='session')
def sound(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('sound')
    for split in SPLITS:
        write_split(root, split)
    return root


@pytest.fixture
def tree(tmp_path) -> Path:
    """A tree of its own to plant faults in."""
    for split in SPLITS:
        write_split(tmp_path, split)
    return tmp_path


def content_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def findings(parts: list[ReportRow], level: str) -> list[tuple[str, str, str]]:
    """(part, kind, first example) of all that was found."""
    return [
        (part.name, kind, finding.examples[0])
        for part in parts
        for kind, finding in getattr(part, level).items()
    ]


def test_a_valid_tree_has_no_findings_and_is_not_modified(sound):
    before = content_of(sound)
    parts = coco.check(sound, 2)
    assert [(part.name, part.found, part.expected, part.status) for part in parts] == [
        (name, *counts, 'ok')
        for split in SPLITS
        for name, *counts in (
            (f'annotations/instances_{split}.json', 2, None),
            (split, 3, 3),
            (f'stuffthingmaps/{split}', 3, 3),
        )
    ]
    assert not findings(parts, 'faults') + findings(parts, 'warnings')
    assert content_of(sound) == before


def edit(root: Path, change: Callable[[dict], object]) -> None:
    """Change the content of the training annotations."""
    path = root / 'annotations/instances_train2017.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def save(root: Path, name: str, pixels: np.ndarray) -> None:
    assert cv2.imwrite(str(root / name), pixels)


def cut(root: Path, name: str, length: int) -> None:
    (root / name).write_bytes((root / name).read_bytes()[:length])


def exif(root: Path, name: str) -> None:
    """Mark the image as lying on its side."""
    image = Image.open(root / name)
    tags = image.getexif()
    tags[0x0112] = 6
    image.save(root / name, exif=tags)


def palette(root: Path, name: str) -> None:
    Image.open(root / name).convert('P').save(root / name)


LISTED, TRAIN, MAPS = (
    'annotations/instances_train2017.json',
    'train2017',
    'stuffthingmaps/train2017',
)
JPG, PNG = f'{TRAIN}/000000000002.jpg', f'{MAPS}/000000000002.png'
GRAY = np.zeros(SIZE[::-1], np.uint8)
FAULTS = {
    'image gone': (lambda r: (r / JPG).unlink(), TRAIN, 'missing', '2.jpg'),
    'image cut': (lambda r: cut(r, JPG, -40), TRAIN, 'damaged', '2.jpg: '),
    'image empty': (lambda r: cut(r, JPG, 0), TRAIN, 'damaged', '0 bytes'),
    'image is text': (lambda r: (r / JPG).write_text('404'), TRAIN, 'damaged', '3 bytes'),
    'image is a folder': (
        lambda r: ((r / JPG).unlink(), (r / JPG).mkdir()),
        TRAIN,
        'not readable',
        '2.jpg: Is a directory',
    ),
    'image larger': (
        lambda r: save(r, JPG, np.zeros((30, 37, 3))),
        TRAIN,
        'size differs',
        '2.jpg: 37 x 30, not 37 x 29',
    ),
    'image turned': (lambda r: exif(r, JPG), TRAIN, 'size differs', '2.jpg: 29 x 37, not 37 x 29'),
    'map gone': (lambda r: (r / PNG).unlink(), MAPS, 'missing', '2.png'),
    'map cut': (lambda r: cut(r, PNG, -12), MAPS, 'damaged', '2.png'),
    'map is cut to its signature': (lambda r: cut(r, PNG, 8), MAPS, 'not one channel', '2.png'),
    'map is a JPEG': (
        lambda r: (r / PNG).write_bytes((r / JPG).read_bytes()),
        MAPS,
        'not a PNG',
        '2',
    ),
    'map smaller': (lambda r: save(r, PNG, GRAY[1:]), MAPS, 'size differs', '37 x 28'),
    'map with palette': (lambda r: palette(r, PNG), MAPS, 'palette', '2.png'),
    'map of colors': (
        lambda r: save(r, PNG, np.dstack([GRAY] * 3)),
        MAPS,
        'not one channel of 8 bit',
        '8 bit, color type 2',
    ),
    'map of 16 bit': (
        lambda r: save(r, PNG, GRAY.astype(np.uint16)),
        MAPS,
        'not one channel of 8 bit',
        '16 bit, color type 0',
    ),
    'map of another dataset': (
        lambda r: save(r, PNG, GRAY + np.uint8(182)),
        MAPS,
        'invalid labels',
        '2.png: 182',
    ),
    'no JSON': (lambda r: cut(r, LISTED, -1), LISTED, 'not valid JSON', 'line 1 column'),
    'a JSON list': (lambda r: (r / LISTED).write_text('[1]'), LISTED, 'not a JSON object', LISTED),
    'no annotations': (
        lambda r: edit(r, lambda c: c.pop('annotations')),
        LISTED,
        'missing list',
        'annotations',
    ),
    'no file of annotations': (lambda r: (r / LISTED).unlink(), LISTED, 'missing', LISTED),
    'image without name': (
        lambda r: edit(r, lambda c: c['images'][1].pop('file_name')),
        LISTED,
        'neither image nor annotation',
        'images[1]',
    ),
    'annotation of numbers': (
        lambda r: edit(r, lambda c: c['annotations'].append(5)),
        LISTED,
        'neither image nor annotation',
        'annotations[2]',
    ),
    'image without width': (
        lambda r: edit(r, lambda c: c['images'].append(dict(id=9, file_name='x', height=3))),
        LISTED,
        'integer id and size',
        'x',
    ),
    'category of another name': (
        lambda r: edit(r, lambda c: c['categories'][3].update(name='motorbike')),
        LISTED,
        'category that this dataset does not have',
        '4 motorbike',
    ),
    'categories in another order': (
        lambda r: edit(r, lambda c: c['categories'].reverse()),
        LISTED,
        'categories in the wrong order',
        'toothbrush where person',
    ),
}


@pytest.mark.parametrize('case', FAULTS)
def test_a_planted_fault_is_reported(tree, case):
    plant, part, kind, example = FAULTS[case]
    plant(tree)
    parts = coco.check(tree, 2)
    found = [f for f in findings(parts, 'faults') if kind in f[1]]
    assert len(found) == 1
    assert found[0][0] == part
    assert example in found[0][2]
    assert {name for name, *_ in findings(parts, 'faults')} == {part}
    assert not is_sound(parts)
    assert example in format_report(parts)
    (row,) = [row for row in parts if row.name == part]
    if part != LISTED:
        assert (row.found, row.expected) == (2 if kind == 'missing' else 3, 3)


NAN = float('nan')
WRONG = {
    'annotation of an image that is not listed': dict(image_id=4),
    'annotation of a category that is not listed': dict(category_id=12),
    'repeated annotation id': dict(id=7),
    'box or area that is not finite': dict(bbox=[1, 2, NAN, 3]),
    'annotation whose ids, area or bbox are not numbers': dict(bbox=[1, 2, '3', 4]),
    'RLE whose size is not that of the image': dict(
        segmentation=dict(size=[*SIZE], counts=[SIZE[0] * SIZE[1]])
    ),
    'segmentation that is neither polygons nor RLE': dict(segmentation=[]),
}
LEFT_OUT = {
    'box of negative size, which mmdet drops': dict(bbox=[5, 5, -3, 4]),
    'box under a pixel or without area, which mmdet drops': dict(bbox=[5, 5, 0, 4]),
    'box outside its image, which mmdet drops': dict(bbox=[37, 5, 9, 9]),
}
TAKEN = {
    'box over the border by more than a pixel': dict(bbox=[5, 5, 34, 4]),
    'polygon of odd or fewer than 6 numbers, which mmdet drops': dict(segmentation=[[1, 2, 3, 4]]),
}


@pytest.mark.parametrize('kind', WRONG)
def test_a_faulty_annotation_is_reported(tree, kind):
    edit(tree, lambda c: c['annotations'].append(annotation(**dict(id=9) | WRONG[kind])))
    number = WRONG[kind].get('id', 9)
    parts = coco.check(tree, 2)
    ((part, found, example),) = findings(parts, 'faults')
    assert (part, found) == (LISTED, kind)
    assert example.startswith(f'annotation {number}')


@pytest.mark.parametrize('key', ['id', 'image_id', 'category_id', 'bbox', 'area', 'segmentation'])
def test_a_missing_key_of_an_annotation_is_reported(tree, key):
    edit(tree, lambda c: c['annotations'][0].pop(key))
    name = 'annotation None' if key == 'id' else 'annotation 7'
    assert findings(coco.check(tree, 2), 'faults') == [(LISTED, f'annotation without {key}', name)]


def test_objects_that_mmdet_drops_are_warnings(tree):
    """By mmdet's own count: it drops exactly the reported annotations."""
    from mmdet.datasets import CocoDataset

    extra = [annotation(20 + i, **c) for i, c in enumerate((LEFT_OUT | TAKEN).values())]
    edge = annotation(40, bbox=[5, 5, 33, 4])  # over the border by one pixel
    edit(tree, lambda c: c['annotations'].extend([*extra, edge]))
    parts = coco.check(tree, 2)
    assert is_sound(parts)
    expected = [(LISTED, kind, f'annotation {20 + i}') for i, kind in enumerate(LEFT_OUT | TAKEN)]
    assert sorted(findings(parts, 'warnings')) == sorted(expected)
    assert {finding.count for finding in parts[0].warnings.values()} == {1}
    dataset = CocoDataset(
        data_root=str(tree), ann_file=LISTED, data_prefix=dict(img='train2017/'), pipeline=[]
    )
    kept = sum(len(image['instances']) for image in dataset)
    assert kept == 2 + len(extra) + 1 - len(LEFT_OUT)


def test_an_image_listed_twice_and_one_not_listed(tree):
    edit(tree, lambda c: c['images'].append(c['images'][0]))
    (tree / TRAIN / 'mine.jpg').write_bytes((tree / JPG).read_bytes())
    parts = coco.check(tree, 2)
    assert findings(parts, 'faults') == [(LISTED, 'repeated image id', 'image 1')]
    assert findings(parts, 'warnings') == [(TRAIN, 'not listed in the annotation file', 'mine.jpg')]


def test_a_tree_without_stuff_maps_is_valid(tree):
    for path in (tree / MAPS).iterdir():
        path.unlink()
    (tree / MAPS).rmdir()
    parts = coco.check(tree, 2)
    assert is_sound(parts)
    assert 'only detectors with a semantic branch need them' in format_report(parts)


def test_images_of_test_dev_are_checked_if_present(tree):
    info = tree / 'annotations/image_info_test-dev2017.json'
    (tree / 'test2017').mkdir()
    (tree / 'test2017/000000000002.jpg').write_bytes((tree / JPG).read_bytes())
    (tree / 'test2017/of_another_test_set.jpg').touch()
    assert findings(coco.check(tree, 2), 'faults') == [
        ('annotations/image_info_test-dev2017.json', 'missing', str(info))
    ]
    content = json.loads((tree / LISTED).read_text())
    del content['annotations']
    content['images'] = content['images'][1:2]
    info.write_text(json.dumps(content))
    parts = coco.check(tree, 2)
    assert not findings(parts, 'faults') + findings(parts, 'warnings')
    assert parts[-1] == ReportRow('test2017', 'images', 1, 1)


def test_an_interrupted_check_leaves_no_thread(tmp_path):
    """By Ctrl-C, while threads check images."""
    pressed = iter([signal.SIGINT])

    def check(*_: object) -> None:
        for number in pressed:
            signal.raise_signal(number)
        time.sleep(0.01)

    files = [images.File(str(number), *SIZE) for number in range(64)]
    before = set(threading.enumerate())
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # in a background shell
    try:
        with pytest.raises(KeyboardInterrupt):
            images.check_files(ReportRow('x', 'images'), tmp_path, files, check, 2)
    finally:
        signal.signal(signal.SIGINT, ignored)
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if not thread.daemon]  # they would keep the process


def test_a_byte_order_mark_is_accepted_with_a_warning(tmp_path):
    """Training reads a repaired copy of such a file; pycocotools could not read it."""
    content = dict(images=[], categories=[], annotations=[])
    (tmp_path / 'a.json').write_text(json.dumps(content), encoding='utf-8-sig')
    part = ReportRow('a.json', 'annotations')
    assert read_annotations(tmp_path / 'a.json', part) == ([], [])
    assert not part.faults
    assert list(part.warnings) == ['byte-order mark, which pycocotools cannot read']


def test_the_tool_on_real_samples(samples):
    """Their READMEs: all images and annotations of COCO, stuff maps for 23 and 26 of them."""
    root = samples / 'coco_mini'
    result = tool('prepare_data', 'coco', '--root', root, '--workers', 2)
    assert result.returncode == 1
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ['annotations/instances_train2017.json', '305', 'annotations', 'ok'] in rows
    assert ['val2017', '48', 'images', '48', 'ok'] in rows
    assert 'stuffthingmaps/train2017: 19 x missing' in result.stdout
    assert 'stuffthingmaps/val2017: 22 x missing' in result.stdout
    assert '... and 17 more' in result.stdout
    assert result.stdout.count(' x ') == 2
