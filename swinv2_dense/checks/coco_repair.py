"""Write a copy of an annotation file with all unambiguous mistakes fixed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ..atomic_files import replacing
from .coco_file import extent_of, id_of, mask_area, number_of, parse, polygons_of


def write_repaired(
    source: str | Path,
    target: Path,
    sizes: Mapping[Any, tuple[int, int]],
    renumbers: bool,
    fills_area: bool,
    ignores_short: bool,
) -> None:
    """Write the copy; the file itself is not touched.

    Args:
        source: An annotation file in which `check_objects` found no error.
        target: The copy, in ASCII.
        sizes: Width and height of images that lack them, by id.
        renumbers: Whether to number annotations from 1.
        fills_area: Whether to replace areas of 0 or less.
        ignores_short: Whether to drop polygons without an area; an object with no others becomes a
            crowd in the shape of its box, which training and evaluation ignore.
    """
    content, _ = parse(source)
    for image in content['images']:
        image['id'] = id_of(image['id'])
        size = sizes.get(image['id']) or (number_of(image['width']), number_of(image['height']))
        image['width'], image['height'] = map(_plain, size)
    for category in content['categories']:
        category['id'] = id_of(category.get('id'))
    for index, annotation in enumerate(content.get('annotations') or ()):
        _repair_annotation(annotation, fills_area, ignores_short)
        annotation['id'] = index + 1 if renumbers else id_of(annotation['id'])
    with replacing(target) as draft, draft.open('w', encoding='ascii') as file:
        _write(file, content)


def _repair_annotation(annotation: dict[str, Any], fills_area: bool, ignores_short: bool) -> None:
    for key in ('image_id', 'category_id'):
        annotation[key] = id_of(annotation[key])
    mask = polygons_of(annotation.get('segmentation'))
    if mask:
        annotation['segmentation'] = mask
    if annotation.get('bbox'):
        box = [_plain(number_of(side)) for side in annotation['bbox']]
    else:
        left, top, right, bottom = extent_of(mask)
        box = [_plain(side) for side in (left, top, right - left, bottom - top)]
    annotation['bbox'] = box
    area = number_of(annotation.get('area'))
    if not math.isfinite(area) or (fills_area and area <= 0):
        area = mask_area(mask) or box[2] * box[3]
    annotation['area'] = _plain(area)
    crowd = number_of(annotation.get('iscrowd'))
    annotation['iscrowd'] = int(crowd != 0) if math.isfinite(crowd) else 0
    if ignores_short and isinstance(mask, list) and mask:
        sound = [polygon for polygon in mask if len(polygon) >= 6 and len(polygon) % 2 == 0]
        if not sound:
            x, y, w, h = box
            sound = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            annotation['iscrowd'] = 1
        annotation['segmentation'] = sound


def _plain(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number


def _write(file: IO[str], content: Mapping[str, Any]) -> None:
    """Dump list entries one by one: json.dumps is much faster than json.dump."""
    for place, (key, value) in enumerate(content.items()):
        file.write(f'{", " if place else "{"}{json.dumps(key)}: ')
        if not isinstance(value, list):
            file.write(json.dumps(value))
            continue
        for index, entry in enumerate(value):
            file.write((',\n' if index else '[') + json.dumps(entry))
        file.write(']' if value else '[]')
    file.write('}')
