"""Objects of COCO, written in each format and read back: the same where the format holds them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from format_writers import OBJECT_WRITERS, Scene, Thing
from fuzzing import amounts, for_all
from hypothesis import strategies as st
from pycocotools.coco import COCO

from swinv2_dense.preparation.own import write_objects
from swinv2_dense.preparation.own.prepare import Options, Prepared, prepare

LABELS = ('cat', 'traffic light', 'Straße', '犬', 'a<b>&c', '0')
SIDES = st.integers(16, 40)
SHARES = st.floats(0, 1, allow_nan=False)
CORNER = Thing(LABELS[0], (0.0, 0.0, 9.5, 8.0))  # tells VOC files that count from 0


@st.composite
def scenes(draw: st.DrawFn, with_polygons: bool) -> list[Scene]:
    found = []
    for number in range(draw(st.integers(2, 3))):
        width, height = draw(SIDES), draw(SIDES)
        things: dict[tuple, Thing] = {}
        for _ in range(draw(st.integers(0, 3))):
            x, y = (round(draw(SHARES) * (side - 8), 2) for side in (width, height))
            w = round(2 + draw(SHARES) * (width - x - 3), 2)
            h = round(2 + draw(SHARES) * (height - y - 3), 2)
            polygon = (x, y, x + w, y, x + w, y + h, round(x + w / 3, 2), y + h)
            label = draw(st.sampled_from(LABELS))
            things[x, y, w, h] = Thing(label, (x, y, w, h), (polygon,) if with_polygons else ())
        first = [] if with_polygons else [CORNER]
        name = draw(st.sampled_from(['{} b.jpg', '{}.PNG', '{}.JPEG', 'ü{}.jpg']))
        things.pop((0.0, 0.0, 9.5, 8.0), None)
        found.append(Scene(name.format(number), width, height, (*first, *things.values())))
    if with_polygons:
        triangle = Thing(LABELS[0], (1, 1, 9, 8), ((1, 1, 10, 1, 10, 9),))
        found[0] = found[0]._replace(things=(triangle,))
    return found


def numbers(values: object) -> list[float]:
    return np.round(np.ravel(values), 2).tolist()


def truth(made: list[Scene], masks: bool) -> dict[str, list]:
    return {
        s.name: sorted((t.label, numbers(t.polygons if masks else t.box)) for t in s.things)
        for s in made
    }


def read_back(prepared: Prepared, masks: bool) -> dict[str, list]:
    return {
        s.path.name: sorted((o.label, numbers(o.polygons if masks else o.box)) for o in s.objects)
        for s in prepared.found.samples
    }


@amounts(4, 150)
@pytest.mark.parametrize('name', OBJECT_WRITERS)
def test_boxes_survive(name, examples):
    def check(made: list[Scene]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            OBJECT_WRITERS[name](Path(folder), made)
            assert read_back(prepare(Path(folder), Options()), False) == truth(made, False)

    for_all(scenes(with_polygons=False), check, examples)


@amounts(4, 150)
@pytest.mark.parametrize('name', [name for name in OBJECT_WRITERS if name != 'voc'])
def test_polygons_survive(name, examples):
    def check(made: list[Scene]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            OBJECT_WRITERS[name](Path(folder), made)
            assert read_back(prepare(Path(folder), Options()), True) == truth(made, True)

    for_all(scenes(with_polygons=True), check, examples)


@pytest.mark.slow
@pytest.mark.parametrize('name', OBJECT_WRITERS)
def test_real_photos_survive(name, samples, tmp_path):
    """All objects of coco_mini but crowds: through the format, to our files, to pycocotools."""
    annotations = samples / 'coco_mini' / 'annotations'
    made, files = [], {}
    for split in ('train', 'val'):
        coco = COCO(annotations / f'instances_{split}2017.json')
        for number, image in coco.imgs.items():
            things = [
                Thing(
                    coco.cats[entry['category_id']]['name'],
                    tuple(entry['bbox']),
                    tuple(map(tuple, entry['segmentation'])) if name != 'voc' else (),
                )
                for entry in coco.loadAnns(coco.getAnnIds(number, iscrowd=False))
            ]
            things = [t for t in things if min(t.box[2:]) > 1]
            if name == 'yolo':  # a row for each part of an object
                things = [t for t in things if len(t.polygons) == 1]
            scene = Scene(image['file_name'], image['width'], image['height'], tuple(things), split)
            made.append(scene)
            files[scene.name] = samples / 'coco_mini' / f'{split}2017' / scene.name
    OBJECT_WRITERS[name](tmp_path / 'src', made)
    for path in (tmp_path / 'src').rglob('*.jpg'):
        path.write_bytes(files[path.name].read_bytes())
    prepared = prepare(tmp_path / 'src', Options())
    masks = prepared.target == 'masks'
    assert masks == (name != 'voc')
    write_objects.write(prepared.found, prepared.splits, tmp_path / 'src', tmp_path / 'out', masks)
    found: dict[str, list] = {}
    for path in (tmp_path / 'out' / 'annotations').iterdir():
        coco = COCO(path)
        for number, image in coco.imgs.items():
            entries = coco.loadAnns(coco.getAnnIds(number))
            found[image['file_name']] = sorted(
                (
                    coco.cats[e['category_id']]['name'],
                    numbers(e['segmentation'][0] if masks else e['bbox']),
                )
                for e in entries
            )
    wanted = {
        s.name: sorted((t.label, numbers(t.polygons[0] if masks else t.box)) for t in s.things)
        for s in made
    }
    assert found.keys() == wanted.keys()
    for image, objects in wanted.items():
        assert [label for label, _ in found[image]] == [label for label, _ in objects]
        for (_, now), (_, before) in zip(found[image], objects):
            assert np.allclose(now, before, atol=0.02)
