"""LabelMe JSON: one file per image, with polygons, rectangles, circles and masks."""

from __future__ import annotations

import base64
import binascii
import math
import posixpath
from typing import Any

import cv2
import numpy as np

from ...checks.coco_file import number_of
from .found import Found, Object, Sample
from .json_files import files_like, read_json
from .notes import Notes
from .rle import encode_rle
from .source import Source, split_of_folders

CIRCLE = 64  # points of the polygon that replaces a circle
NO_AREA = ('point', 'points', 'line', 'linestrip')


def evidence(source: Source) -> str:
    files = _files(source)
    return f'{len(files)} .json files with shapes and imagePath' if files else ''


def read(source: Source, notes: Notes) -> Found:
    """Shapes of one label and group_id in an image are parts of one object.

    Raises:
        ConfigError: A file is broken.
    """
    samples: dict[str, Sample] = {}
    for name in _files(source):
        content = read_json(source.path(name), 'shapes')
        image = _image(source, content, name, notes)
        if image is None:
            continue
        if image in samples:
            notes.fault('annotation files share an image; merge or remove them', f'{name}: {image}')
            continue
        size = tuple(number_of(content.get(key)) for key in ('imageWidth', 'imageHeight'))
        known = all(side >= 1 for side in size)
        split = split_of_folders(name) or split_of_folders(image)
        sample = samples[image] = Sample(source.path(image), split, size if known else None)
        groups: dict[tuple, Object] = {}
        for index, shape in enumerate(content['shapes']):
            where = f'{name}, shapes[{index}]'
            found = _object(shape, where, sample.size, notes)
            if found is None:
                continue
            group = shape.get('group_id')
            key = (found.label, group) if group is not None else (index,)
            if key in groups and groups[key].polygons and found.polygons:
                groups[key].polygons += found.polygons
            else:
                groups[key] = found
                sample.objects.append(found)
    for image in source.images:
        if image not in samples:
            notes.warn('images without a .json file, left out', image)
    classes = sorted({o.label for sample in samples.values() for o in sample.objects})
    with_masks = any(o.has_mask for sample in samples.values() for o in sample.objects)
    targets = ('masks', 'boxes', 'maps') if with_masks else ('boxes',)
    return Found('LabelMe JSON', classes, list(samples.values()), targets)


def _files(source: Source) -> tuple[str, ...]:
    return files_like(source, 'shapes', 'imagePath')


def _image(source: Source, content: dict, name: str, notes: Notes) -> str | None:
    """imagePath, or the image beside the file with its stem, as LabelMe writes it."""
    given = content.get('imagePath')
    beside = source.by_stem.get(posixpath.splitext(name)[0], [])
    if isinstance(given, str) and given.strip():
        base = posixpath.basename(given.replace('\\', '/'))
        same = [i for i in beside if posixpath.basename(i) == base]
        is_inside = source.inside(posixpath.dirname(name), given) is not None
        if same and is_inside:
            return same[0]
        return source.image(given, posixpath.dirname(name), notes, name)
    if len(beside) == 1:
        return beside[0]
    source.missing(f'that of {name}, which has no imagePath', notes)
    return None


def _object(shape: Any, where: str, size: tuple | None, notes: Notes) -> Object | None:
    label = shape.get('label') if isinstance(shape, dict) else None
    points = _points(shape.get('points')) if label is not None else None
    if not isinstance(label, str) or not label.strip() or points is None:
        notes.fault('shapes have no label or no points; fix or remove them', where)
        return None
    kind = shape.get('shape_type') or 'polygon'
    found = Object(label.strip(), where)
    x, y = points[:, 0], points[:, 1]
    if kind == 'rectangle' and len(points) in (2, 4):
        left, top = float(x.min()), float(y.min())
        found.box = (left, top, float(x.max()) - left, float(y.max()) - top)
    elif kind == 'polygon' and len(points) >= 3:
        found.polygons = [points.ravel().tolist()]
    elif kind == 'circle' and len(points) == 2:
        radius = math.dist(points[0], points[1])
        angles = np.arange(CIRCLE) * 2 * math.pi / CIRCLE
        circle = points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        found.polygons = [circle.ravel().tolist()]
    elif kind == 'mask' and len(points) == 2:
        found.rle = _mask(shape.get('mask'), points, size, where, notes)
        return found if found.rle else None
    elif kind in NO_AREA:
        notes.warn('points and lines, which have no area, left out', where)
        return None
    else:
        few = kind == 'polygon'
        notes.fault(
            'polygons have fewer than 3 points; fix or remove them'
            if few
            else 'shapes have an unknown type or a wrong number of points; fix or remove them',
            where if few else f'{where}: {kind!r} with {len(points)} points',
        )
        return None
    return found


def _points(given: Any) -> np.ndarray | None:
    """(N, 2) float, or None."""
    try:
        points = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        return None
    is_points = points.ndim == 2 and points.shape[1] == 2 and len(points)
    return points if is_points and (np.abs(points) < 2**31).all() else None


def _mask(
    text: Any, points: np.ndarray, size: tuple | None, where: str, notes: Notes
) -> dict | None:
    """RLE of a PNG that fills the box between two pixels, both included."""
    try:
        data = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (TypeError, ValueError, binascii.Error, cv2.error):
        pixels = None
    left, top = points.min(0).round().astype(int)
    if pixels is None or pixels.ndim != 2 or size is None or min(left, top) < 0:
        notes.fault('masks cannot be decoded, or their image has no size; export them again', where)
        return None
    whole = np.zeros((int(size[1]), int(size[0])), bool)
    place = whole[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    place[:] = pixels[: place.shape[0], : place.shape[1]] > 0
    return encode_rle(whole)
