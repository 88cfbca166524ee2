"""Broken files of each format end in one line that names the file, and nothing is written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import run_here
from format_writers import OBJECT_WRITERS, Scene, Thing, write_image
from PIL import Image

BOX = Thing('cat', (10.0, 20.0, 30.0, 15.0))
POLYGON = Thing('cat', (4.0, 6.0, 32.0, 24.0), ((4.0, 6.0, 36.0, 6.0, 20.0, 30.0),))
SCENES = [Scene(f'{stem}.jpg', 80, 60, (BOX,)) for stem in 'abc']
MASKS = [Scene(f'{stem}.jpg', 80, 60, (POLYGON,)) for stem in 'abc']


def refusal(src: Path, *flags: str) -> str:
    """The one line that the command ends with; it leaves no file."""
    out = src.parent / 'out' / 'own'
    result = run_here('prepare_data', 'own', src, '--out', out, '--device', 'cpu', *flags)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ''
    assert not out.parent.exists() or not any(out.parent.iterdir())
    (line,) = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
    assert result.stderr.splitlines()[-1] == line
    return line


def cut(path: Path) -> None:
    text = path.read_text()
    path.write_text(text[: len(text) // 2])


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


ALL, YOLO, VOC, LABELME = 'annotations/all.json', 'labels/b.txt', 'Annotations/b.xml', 'b.json'
SHORT = '<polygon><x1>1</x1><y1>1</y1><x2>9</x2><y2>9</y2></polygon>'  # Roboflow's
EVIL = '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
# File and an image of each variant of COCO JSON.
COCO = {
    'coco': (ALL, 'images/b.jpg'),
    'roboflow': ('train/_annotations.coco.json', 'train/b.jpg'),
    'cvat coco': ('annotations/instances_default.json', 'images/default/b.jpg'),
}
COCO_FAULTS = {
    'cut': (SCENES, lambda json, image: cut(json), r'{json} is not valid JSON: .*export it again'),
    'missing image': (
        SCENES,
        lambda json, image: image.unlink(),
        r"1 annotated images are missing, first 'b\.jpg' of {json}; add .*--skip-broken",
    ),
    'leaving': (
        SCENES,
        lambda json, image: replace(json, '"b.jpg"', '"../../../etc/b.jpg"'),
        r"1 paths lead out of the folder, first '\.\./\.\./\.\./etc/b\.jpg' in {json}",
    ),
    'category': (
        SCENES,
        lambda json, image: replace(json, '"category_id": 1', '"category_id": 7'),
        r'1 annotations have the category_id of no category, first {json}, annotations\[0\]: 7',
    ),
    'two points': (
        MASKS,
        lambda json, image: edit(
            json, lambda c: c['annotations'][0].update(segmentation=[[1, 2, 3, 4]])
        ),
        r'1 polygons have fewer than 3 points .*, first {json}, annotations\[0\]',
    ),
}


def coco_case(name: str, fault: str) -> tuple:
    """A row of `CASES`."""
    json_name, image = COCO[name]
    scenes, spoil, message = COCO_FAULTS[fault]
    text = message.replace('{json}', re.escape(json_name))
    return name, scenes, lambda root: spoil(root / json_name, root / image), text


CASES = {
    **{f'{name} {fault}': coco_case(name, fault) for name in COCO for fault in COCO_FAULTS},
    'coco image ids': (
        'coco',
        SCENES,
        lambda r: edit(r / ALL, lambda c: c['images'][1].update(id=1)),
        r"1 images share their id with another, first .*: 'b\.jpg'; give each its own",
    ),
    'coco size': (
        'coco',
        SCENES,
        lambda r: edit(r / ALL, lambda c: c['images'][1].update(width=81, height=99)),
        r'1 images have another size than annotated, first images/b\.jpg: 80 x 60, not 81 x 99',
    ),
    'coco box': (
        'coco',
        SCENES,
        lambda r: edit(r / ALL, lambda c: c['annotations'][1].update(bbox=[1, 2, None, 4])),
        r'1 bboxes are not four finite numbers, first .*annotations\[1\]: \[1, 2, None, 4\]; fix',
    ),
    'yolo class id': (
        'yolo',
        SCENES,
        lambda r: replace(r / YOLO, '0 ', '3 '),
        r'1 class ids are beyond the 1 names, first labels/b\.txt, line 1: 3; add names',
    ),
    'yolo cut': (
        'yolo',
        SCENES,
        lambda r: (r / YOLO).write_text((r / YOLO).read_text()[:20]),
        r'1 polygons have fewer .* number of coordinates, first labels/b\.txt, line 1: .*; fix',
    ),
    'yolo missing image': (
        'yolo',
        SCENES,
        lambda r: os.remove(r / 'images/b.jpg'),
        r'1 annotated images are missing, first that of labels/b\.txt; add',
    ),
    'yolo two points': (
        'yolo',
        MASKS,
        lambda r: (r / YOLO).write_text('0 0.1 0.2 0.3 0.4\n0 .1 .1 .2 .2 .3\n0 .1 .2 .3\n'),
        r'polygons have fewer than 3 points .*labels/b\.txt, line 3',
    ),
    'yolo score': (
        'yolo',
        SCENES,
        lambda r: (r / YOLO).write_text('0 0.1 0.2 0.3 0.4 0.9\n'),
        r'1 rows have 6 numbers, as predictions with a score do, first labels/b\.txt, line 1',
    ),
    'yolo pixels': (
        'yolo',
        SCENES,
        lambda r: (r / YOLO).write_text('0 10 20 30 40\n'),
        r'1 coordinates are not fractions in 0\.\.1, first labels/b\.txt, line 1.*; divide them',
    ),
    'yolo text': (
        'yolo',
        SCENES,
        lambda r: (r / YOLO).write_text('cat 0.1 0.2 0.3 0.4\n'),
        r"1 rows are not a class id and numbers, first labels/b\.txt, line 1: 'cat 0\.1",
    ),
    'yolo yaml': (
        'yolo',
        SCENES,
        lambda r: (r / 'data.yaml').write_text('names: [a, b\n'),
        r'data\.yaml is not YAML: while parsing',
    ),
    'yolo leaving': (
        'yolo',
        SCENES,
        lambda r: (r / 'data.yaml').write_text('names: [cat]\ntrain: ../../elsewhere\n'),
        r"1 paths lead out of the folder, first train: '\.\./\.\./elsewhere'; move",
    ),
    'yolo repeated names': (
        'yolo',
        SCENES,
        lambda r: (r / 'data.yaml').write_text('names: [cat, cat]\n'),
        r'data\.yaml repeats the names cat; give each class its own',
    ),
    'voc cut': ('voc', SCENES, lambda r: cut(r / VOC), r'b\.xml is not XML: '),
    'voc entity': (
        'voc',
        SCENES,
        lambda r: (r / VOC).write_text(EVIL + (r / VOC).read_text().replace('>cat<', '>&x;<')),
        r'b\.xml declares a document type, which can pull in other files; remove',
    ),
    'voc two points': (
        'voc',
        SCENES,
        lambda r: replace(r / VOC, '</bndbox>', f'</bndbox>{SHORT}'),
        r'1 polygons have fewer than 3 points or wrong numbers, first Annotations/b\.xml, object 1',
    ),
    'voc missing image': (
        'voc',
        SCENES,
        lambda r: os.remove(r / 'JPEGImages/b.jpg'),
        r"1 annotated images are missing, first 'b\.jpg' of Annotations/b\.xml",
    ),
    'voc leaving': (
        'voc',
        SCENES,
        lambda r: replace(r / VOC, '<filename>', '<filename>../../../'),
        r"1 paths lead out of the folder, first '\.\./\.\./\.\./b\.jpg' in Annotations/b\.xml",
    ),
    'voc box': (
        'voc',
        SCENES,
        lambda r: replace(r / VOC, '<xmin>10.0', '<xmin>ten'),
        r"1 boxes are not four numbers, first Annotations/b\.xml, object 1: \['ten', ",
    ),
    'voc corners': (
        'voc',
        SCENES,
        lambda r: replace(r / VOC, '<xmax>40.0', '<xmax>4.0'),
        r'1 boxes have a negative width or height, first Annotations/b\.xml, object 1; fix',
    ),
    'labelme cut': (
        'labelme',
        SCENES,
        lambda r: (
            edit(r / LABELME, lambda c: c.update(imagePath=c.pop('imagePath')))
            or (r / LABELME).write_text((r / LABELME).read_text()[:-2])
        ),
        r'b\.json is not valid JSON',
    ),
    'labelme missing image': (
        'labelme',
        SCENES,
        lambda r: os.remove(r / 'b.jpg'),
        r"1 annotated images are missing, first 'b\.jpg' of b\.json",
    ),
    'labelme leaving': (
        'labelme',
        SCENES,
        lambda r: replace(r / LABELME, '"b.jpg"', '"..\\\\b.jpg"'),
        r'1 paths lead out of the folder, first .* in b\.json',
    ),
    'labelme two points': (
        'labelme',
        MASKS,
        lambda r: edit(r / LABELME, lambda c: c['shapes'][0].update(points=[[1, 2], [3, 4]])),
        r'1 polygons have fewer than 3 points, first b\.json, shapes\[0\]; fix',
    ),
    'damaged image': (
        'coco',
        SCENES,
        lambda r: (r / 'images/b.jpg').write_bytes(b'\xff\xd8\xff'),
        r'1 images are damaged, first images/b\.jpg: .*; replace them, or leave .*--skip-broken',
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_one_line_and_nothing_is_written(case, tmp_path):
    name, scenes, spoil, message = CASES[case]
    OBJECT_WRITERS[name](tmp_path / 'src', scenes)
    spoil(tmp_path / 'src')
    line = refusal(tmp_path / 'src')
    assert re.search(message, line), line


def write_classes(root: Path) -> Path:
    """table.csv and images; no objects."""
    for scene in SCENES:
        write_image(root / scene.name, scene)
    (root / 'table.csv').write_text('path,label\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\n')
    return root


def write_maps(root: Path) -> Path:
    """masks/ of two ids, images/ and classes.txt."""
    (root / 'masks').mkdir(parents=True)
    for scene in SCENES:
        write_image(root / 'images' / scene.name, scene)
        ids = np.tile(np.arange(80) // 40, (60, 1)).astype(np.uint8)
        Image.fromarray(ids).save(root / f'masks/{scene.name[0]}.png')
    (root / 'classes.txt').write_text('floor\nwall\n')
    return root


OTHER_CASES = {
    'maps cut': (
        write_maps,
        lambda r: (r / 'masks/b.png').write_bytes((r / 'masks/b.png').read_bytes()[:60]),
        r'1 maps cannot be read, first masks/b\.png; export them again',
    ),
    'maps missing image': (
        write_maps,
        lambda r: (r / 'images/b.jpg').unlink(),
        r'1 annotated images are missing, first that of masks/b\.png; add',
    ),
    'maps class id': (
        write_maps,
        lambda r: (r / 'classes.txt').write_text('floor\n'),
        r'1 ids are beyond the 1 names of classes\.txt, first 1; add names, or fix the maps',
    ),
    'table cut': (
        write_classes,
        lambda r: (r / 'table.csv').write_text((r / 'table.csv').read_text()[:-4]),
        r'1 rows have no path or no label, first table\.csv, line 4; fix or remove them',
    ),
    'table missing image': (
        write_classes,
        lambda r: (r / 'b.jpg').unlink(),
        r"1 annotated images are missing, first 'b\.jpg' of table\.csv, line 3; add",
    ),
    'table leaving': (
        write_classes,
        lambda r: replace(r / 'table.csv', 'b.jpg', '../b.jpg'),
        r"1 paths lead out of the folder, first '\.\./b\.jpg' in table\.csv, line 3; move",
    ),
}


@pytest.mark.parametrize('case', OTHER_CASES)
def test_maps_and_tables(case, tmp_path):
    write, spoil, message = OTHER_CASES[case]
    spoil(write(tmp_path / 'src'))
    line = refusal(tmp_path / 'src')
    assert re.search(message, line), line


def test_an_external_entity_is_not_read(tmp_path):
    """Not even where it would be harmless: the file exists and holds a class name."""
    (tmp_path / 'secret').write_text('secret')
    OBJECT_WRITERS['voc'](tmp_path / 'src', SCENES)
    path = tmp_path / 'src' / VOC
    evil = EVIL.replace('/etc/hostname', str(tmp_path / 'secret'))
    path.write_text(evil + path.read_text().replace('>cat<', '>&x;<'))
    assert 'secret' not in refusal(tmp_path / 'src').replace(str(tmp_path), '')


def test_the_output_must_be_new_and_outside(tmp_path):
    src = OBJECT_WRITERS['coco'](tmp_path / 'src', SCENES)
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'kept').touch()
    for out, message in (
        (tmp_path / 'full', 'exists; move it away, or choose another folder'),
        (src / 'own', 'lies in SRC='),
    ):
        result = run_here('prepare_data', 'own', src, '--out', out)
        assert result.returncode == 2
        assert message in result.stderr.splitlines()[-1]
    assert [path.name for path in (tmp_path / 'full').iterdir()] == ['kept']


def test_a_source_that_does_not_exist(tmp_path):
    assert "SRC='" in refusal(tmp_path / 'none')
    (tmp_path / 'none').mkdir()
    assert 'has no files' in refusal(tmp_path / 'none')
