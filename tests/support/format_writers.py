"""Write the objects of a COCO dict in other annotation formats, one small writer each.

All take a folder and `Scene`s: images with objects in pixels, whose masks are polygons.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import cv2
import numpy as np


class Thing(NamedTuple):
    """An object: x, y, width and height in pixels, and polygons or none."""

    label: str
    box: tuple[float, float, float, float]
    polygons: tuple[tuple[float, ...], ...] = ()


class Scene(NamedTuple):
    """An image and what is in it; `split` is '' or a folder."""

    name: str  # with suffix
    width: int
    height: int
    things: tuple[Thing, ...] = ()
    split: str = ''


def classes_of(scenes: list[Scene]) -> list[str]:
    return sorted({thing.label for scene in scenes for thing in scene.things})


def write_image(path: Path, scene: Scene) -> None:
    """Gray noise of its own, with a bright box for each object; identical files are named."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    rng = np.random.default_rng(list(scene.name.encode()))
    pixels = rng.integers(60, 120, (scene.height, scene.width, 3), np.uint8)
    classes = {}
    for thing in scene.things:
        x, y, w, h = (round(side) for side in thing.box)
        color = [(200, 40, 40), (40, 200, 40), (40, 40, 200)][
            classes.setdefault(thing.label, len(thing.label)) % 3
        ]
        cv2.rectangle(pixels, (x, y), (x + w, y + h), color, -1)
    assert cv2.imwrite(str(path), pixels)


def coco_dict(scenes: list[Scene], classes: list[str], prefix: str = '') -> dict:
    """With polygons where there are some; ids start at 1."""
    images, annotations = [], []
    for number, scene in enumerate(scenes, start=1):
        size = dict(width=scene.width, height=scene.height)
        images.append(dict(id=number, file_name=prefix + scene.name, **size))
        for thing in scene.things:
            x, y, w, h = thing.box
            entry: dict[str, Any] = dict(
                id=len(annotations) + 1,
                image_id=number,
                category_id=classes.index(thing.label) + 1,
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
            )
            if thing.polygons:
                entry['segmentation'] = [list(polygon) for polygon in thing.polygons]
            annotations.append(entry)
    categories = [dict(id=i, name=name) for i, name in enumerate(classes, start=1)]
    return dict(images=images, annotations=annotations, categories=categories)


def by_split(scenes: list[Scene]) -> dict[str, list[Scene]]:
    found: dict[str, list[Scene]] = {}
    for scene in scenes:
        found.setdefault(scene.split, []).append(scene)
    return found


def write_coco(root: Path, scenes: list[Scene]) -> Path:
    """annotations/SPLIT.json and images/SPLIT/; one file all.json without splits."""
    for split, part in by_split(scenes).items():
        path = root / 'annotations' / f'{split or "all"}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(coco_dict(part, classes_of(scenes))))
        for scene in part:
            write_image(root / 'images' / split / scene.name, scene)
    return root


def write_roboflow(root: Path, scenes: list[Scene]) -> Path:
    """SPLIT/_annotations.coco.json beside the images, with a category 0 for the project."""
    for split, part in by_split(scenes).items():
        folder = root / {'val': 'valid'}.get(split, split or 'train')
        folder.mkdir(parents=True, exist_ok=True)
        content = coco_dict(part, classes_of(scenes))
        project = dict(id=0, name='project', supercategory='none')
        content['categories'] = [
            project,
            *(dict(category, supercategory='project') for category in content['categories']),
        ]
        (folder / '_annotations.coco.json').write_text(json.dumps(content))
        for scene in part:
            write_image(folder / scene.name, scene)
    return root


def write_cvat_coco(root: Path, scenes: list[Scene]) -> Path:
    """annotations/instances_default.json and images/default/."""
    path = root / 'annotations' / 'instances_default.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco_dict(scenes, classes_of(scenes))))
    for scene in scenes:
        write_image(root / 'images' / 'default' / scene.name, scene)
    return root


def write_yolo(root: Path, scenes: list[Scene], yaml: bool = True) -> Path:
    """images/SPLIT/ and labels/SPLIT/, with data.yaml or classes.txt; polygons where there are."""
    classes = classes_of(scenes)
    for scene in scenes:
        write_image(root / 'images' / scene.split / scene.name, scene)
        rows = [
            ' '.join(map(repr, row))
            for thing in scene.things
            for row in yolo_rows(thing, scene, classes)
        ]
        path = (root / 'labels' / scene.split / scene.name).with_suffix('.txt')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(rows) + '\n')
    if yaml:
        splits = [split for split in by_split(scenes) if split]
        lines = [f'{split}: images/{split}' for split in splits]
        (root / 'data.yaml').write_text('\n'.join([*lines, f'names: {json.dumps(classes)}', '']))
    else:
        (root / 'classes.txt').write_text('\n'.join(classes) + '\n')
    return root


def yolo_rows(thing: Thing, scene: Scene, classes: list[str]) -> list[list[float]]:
    """A row of the box, or one of each polygon."""
    label = classes.index(thing.label)
    if not thing.polygons:
        x, y, w, h = thing.box
        size = (scene.width, scene.height)
        center = ((x + w / 2) / size[0], (y + h / 2) / size[1])
        return [[label, *center, w / size[0], h / size[1]]]
    scale = (scene.width, scene.height)
    return [[label, *(c / scale[i % 2] for i, c in enumerate(p))] for p in thing.polygons]


def write_voc(root: Path, scenes: list[Scene]) -> Path:
    """JPEGImages, Annotations and, with splits, ImageSets/Main; pixels count from 0, as in CVAT."""
    for scene in scenes:
        write_image(root / 'JPEGImages' / scene.name, scene)
        objects = ''.join(
            f'<object><name>{escape(thing.label)}</name><difficult>0</difficult><bndbox>'
            f'<xmin>{thing.box[0]}</xmin><ymin>{thing.box[1]}</ymin>'
            f'<xmax>{thing.box[0] + thing.box[2]}</xmax>'
            f'<ymax>{thing.box[1] + thing.box[3]}</ymax></bndbox></object>'
            for thing in scene.things
        )
        path = (root / 'Annotations' / scene.name).with_suffix('.xml')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'<annotation><filename>{escape(scene.name)}</filename><size><width>{scene.width}'
            f'</width><height>{scene.height}</height><depth>3</depth></size>{objects}</annotation>'
        )
    for split, part in by_split(scenes).items():
        path = root / 'ImageSets' / 'Main' / f'{split or "default"}.txt'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(f'{Path(scene.name).stem}\n' for scene in part))
    return root


def write_labelme(root: Path, scenes: list[Scene]) -> Path:
    """SPLIT/x.json beside SPLIT/x.jpg; the parts of an object share a group_id."""
    for scene in scenes:
        folder = root / scene.split
        write_image(folder / scene.name, scene)
        shapes = []
        for number, thing in enumerate(scene.things):
            x, y, w, h = thing.box
            parts = [list(zip(p[0::2], p[1::2])) for p in thing.polygons] or [
                [(x, y), (x + w, y + h)]
            ]
            kind = 'polygon' if thing.polygons else 'rectangle'
            shapes += [
                dict(label=thing.label, points=part, shape_type=kind, group_id=number)
                for part in parts
            ]
        content = dict(
            version='5.2.1',
            shapes=shapes,
            imagePath=scene.name,
            imageData=None,
            imageHeight=scene.height,
            imageWidth=scene.width,
        )
        (folder / scene.name).with_suffix('.json').write_text(json.dumps(content))
    return root


OBJECT_WRITERS = {
    'coco': write_coco,
    'roboflow': write_roboflow,
    'cvat coco': write_cvat_coco,
    'yolo': write_yolo,
    'voc': write_voc,
    'labelme': write_labelme,
}
