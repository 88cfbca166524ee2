"""Write predictions of `infer.py` in the formats of datasets and annotation tools.

    coco          coco.json            a dataset with scores; also for pycocotools and FiftyOne
    cvat          cvat.xml             "CVAT for images 1.1": Upload annotations
    labelme       labelme/NAME.json    one file per image
    label-studio  label_studio.json    tasks with predictions; images as local files

Boxes are rectangles. Masks become polygons, without their holes; COCO keeps the exact masks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from pycocotools import mask as coco_masks

from ..atomic_files import replacing
from .outlines import outlines


class Image(NamedTuple):
    """The prediction for an image."""

    path: str  # as given to infer
    name: str  # relative to the common folder of all inputs
    record: dict[str, Any]  # of its JSON file


class Found(NamedTuple):
    """An object of an image."""

    name: str  # of its class
    label: int
    score: float
    box: list[float]  # x1, y1, x2, y2
    mask: dict | None  # COCO's RLE


def export(format_name: str, folder: Path, names: Sequence[str], classes: Sequence[str]) -> Path:
    """Write the predictions in `folder/predictions` in another format; returns what was written.

    Args:
        format_name: One of `WRITERS`.
        folder: The output folder of infer.
        names: Of the inputs, without `.json`. Videos are left out.
        classes: Names of all classes.
    """
    return WRITERS[format_name](folder, list(_images(folder, names)), classes)


def _images(folder: Path, names: Sequence[str]) -> Iterator[Image]:
    for name in names:
        path = folder / 'predictions' / f'{name}.json'
        if path.is_file():  # not of an input that was skipped
            record = json.loads(path.read_text())
            if 'bboxes' in record:
                yield Image(record['input'], name, record)


def _objects(image: Image) -> Iterator[Found]:
    record = image.record
    masks = record.get('masks') or [None] * len(record['labels'])
    columns = (record[key] for key in ('names', 'labels', 'scores', 'bboxes'))
    return (Found(*row) for row in zip(*columns, masks))


def write_coco(folder: Path, images: list[Image], classes: Sequence[str]) -> Path:
    """A dataset in COCO format; category ids are labels plus 1."""
    coco: dict[str, list] = dict(
        images=[],
        annotations=[],
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(classes)],
    )
    for key, image in enumerate(images, 1):
        size = dict(width=image.record['width'], height=image.record['height'])
        coco['images'].append(dict(id=key, file_name=image.name, **size))
        for found in _objects(image):
            x1, y1, x2, y2 = found.box
            area = (x2 - x1) * (y2 - y1)
            shape = {}
            if found.mask is not None:
                shape, area = dict(segmentation=found.mask), float(coco_masks.area(found.mask))
            coco['annotations'].append(
                dict(
                    id=len(coco['annotations']) + 1,
                    image_id=key,
                    category_id=found.label + 1,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=area,
                    iscrowd=0,
                    score=found.score,
                    **shape,
                )
            )
    return _write(folder / 'coco.json', json.dumps(coco))


def write_labelme(folder: Path, images: list[Image], classes: Sequence[str]) -> Path:
    """One file per image, whose `imagePath` is relative to it."""
    for image in images:
        shapes = []
        for found in _objects(image):
            traced = outlines(found.mask)
            x1, y1, x2, y2 = found.box
            parts = [('polygon', outline) for outline in traced]
            for kind, points in parts or [('rectangle', [[x1, y1], [x2, y2]])]:
                text = f'{found.score:.3f}'
                shapes.append(
                    dict(label=found.name, points=points, shape_type=kind, group_id=None,
                         description=text, flags={})
                )  # fmt: skip
        path = folder / 'labelme' / f'{Path(image.name).with_suffix("")}.json'
        relative = os.path.relpath(os.path.abspath(image.path), os.path.abspath(path.parent))
        content = dict(
            version='5.0.0',
            flags={},
            shapes=shapes,
            imagePath=Path(relative).as_posix(),
            imageData=None,
            imageHeight=image.record['height'],
            imageWidth=image.record['width'],
        )
        _write(path, json.dumps(content, indent=1))
    return folder / 'labelme'


def write_cvat(folder: Path, images: list[Image], classes: Sequence[str]) -> Path:
    """CVAT's XML of images; scores are not part of the format."""
    root = ElementTree.Element('annotations')
    ElementTree.SubElement(root, 'version').text = '1.1'
    for index, image in enumerate(images):
        size = {key: str(image.record[key]) for key in ('width', 'height')}
        node = ElementTree.SubElement(root, 'image', id=str(index), name=image.name, **size)
        for found in _objects(image):
            common = dict(label=found.name, source='auto', occluded='0', z_order='0')
            traced = outlines(found.mask)
            for outline in traced:
                points = ';'.join(f'{x:.2f},{y:.2f}' for x, y in outline)
                ElementTree.SubElement(node, 'polygon', points=points, **common)
            if not traced:
                corners = zip(('xtl', 'ytl', 'xbr', 'ybr'), found.box)
                box = {key: f'{side:.2f}' for key, side in corners}
                ElementTree.SubElement(node, 'box', **box, **common)
    return _write(folder / 'cvat.xml', ElementTree.tostring(root, encoding='unicode'))


def write_label_studio(folder: Path, images: list[Image], classes: Sequence[str]) -> Path:
    """Tasks with predictions; positions are in percent of the image."""
    tasks = []
    for image in images:
        width, height = image.record['width'], image.record['height']
        results = []
        for found in _objects(image):
            common = dict(
                from_name='label', to_name='image', score=found.score,
                original_width=width, original_height=height, image_rotation=0,
            )  # fmt: skip
            traced = outlines(found.mask)
            for outline in traced:
                points = [[100 * x / width, 100 * y / height] for x, y in outline]
                value = dict(points=points, polygonlabels=[found.name])
                results.append(dict(type='polygonlabels', value=value, **common))
            if not traced:
                x1, y1, x2, y2 = found.box
                value = dict(
                    x=100 * x1 / width, y=100 * y1 / height,
                    width=100 * (x2 - x1) / width, height=100 * (y2 - y1) / height,
                    rotation=0, rectanglelabels=[found.name],
                )  # fmt: skip
                results.append(dict(type='rectanglelabels', value=value, **common))
        data = dict(image=f'/data/local-files/?d={Path(image.name).as_posix()}')
        tasks.append(
            dict(data=data, predictions=[dict(model_version='swinv2_dense', result=results)])
        )
    return _write(folder / 'label_studio.json', json.dumps(tasks))


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=False, keep_suffix=True) as draft:
        draft.write_text(text + '\n', encoding='utf-8')
    return path


WRITERS: dict[str, Callable[[Path, list[Image], Sequence[str]], Path]] = {
    'coco': write_coco,
    'cvat': write_cvat,
    'labelme': write_labelme,
    'label-studio': write_label_studio,
}
