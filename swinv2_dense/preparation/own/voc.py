"""Pascal VOC: one XML file per image, with boxes in pixels; also CVAT's and Roboflow's exports."""

from __future__ import annotations

import math
import posixpath
import re
from xml.etree.ElementTree import (  # noqa: S405  documents with a DTD are refused
    Element,
    ParseError,
    TreeBuilder,
    XMLParser,
)

from ...errors import ConfigError
from .found import Found, Object, Sample
from .image_sets import image_sets
from .notes import Notes
from .source import Source, split_of_folders

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
ROOT = re.compile(rb'<annotation[\s>]')


class _NoDoctype(TreeBuilder):
    """Refuses a document type: only there can entities be declared, which read other files."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(
            'declares a document type, which can pull in other files; remove the line <!DOCTYPE'
        )


def evidence(source: Source) -> str:
    files = _files(source)
    return f'{len(files)} .xml files with <annotation>' if files else ''


def read(source: Source, notes: Notes) -> Found:
    """Boxes, and Roboflow's polygons; objects marked difficult become regions to ignore.

    VOC counts pixels from 1 and includes the last one; CVAT, LabelImg and others count from 0 or
    write fractions. A set without a 0 and without fractions is taken as VOC's.

    Raises:
        ConfigError: A file is not such an XML file.
    """
    splits = image_sets(source, 'Main')
    samples: dict[str, Sample] = {}
    written: dict[str, str] = {}
    boxes: list[tuple[Object, list[float]]] = []
    for name in _files(source):
        root = _parse(source, name)
        image = _image(source, root, name, notes)
        if image is None:
            continue
        if image in written:
            notes.fault(
                'annotation files share an image; merge or remove them',
                f'{name} and {written[image]} both annotate {image}',
            )
            continue
        written[image] = name
        stem = posixpath.splitext(posixpath.basename(name))[0]
        split = splits.get(stem) or split_of_folders(name) or split_of_folders(image)
        sample = samples[image] = Sample(source.path(image), split, _size(root))
        for index, entry in enumerate(root.findall('object')):
            where = f'{name}, object {index + 1}'
            found = _object(entry, where, notes)
            if found is not None:
                sample.objects.append(found[0])
                boxes.append(found)
    from_one = _set_boxes(boxes)
    for image in source.images:
        if image not in samples and '/Segmentation' not in f'/{image}':
            notes.warn('images without an .xml file, left out', image)
    classes = sorted({o.label for sample in samples.values() for o in sample.objects})
    with_masks = any(o.has_mask for sample in samples.values() for o in sample.objects)
    text = f'VOC XML: pixels count from {1 if from_one else 0}'
    targets = ('masks', 'boxes', 'maps') if with_masks else ('boxes',)
    return Found(text, classes, list(samples.values()), targets)


def _files(source: Source) -> list[str]:
    def is_annotation(name: str) -> bool:
        with source.path(name).open('rb') as file:
            return bool(ROOT.search(file.read(4096)))

    return [name for name in source.with_suffix('.xml') if is_annotation(name)]


def _parse(source: Source, name: str) -> Element:
    parser = XMLParser(target=_NoDoctype())  # noqa: S314  see _NoDoctype
    try:
        parser.feed(source.path(name).read_bytes())
        return parser.close()
    except (ParseError, ValueError) as error:
        problem = str(error) if isinstance(error, ValueError) else f'is not XML: {error}'
        raise ConfigError(f'{source.path(name)} {problem}') from error


def _image(source: Source, root: Element, name: str, notes: Notes) -> str | None:
    """The image that <filename> names, or the one with the stem of the file."""
    given = (root.findtext('filename') or '').strip()
    stem = posixpath.splitext(posixpath.basename(name))[0]
    if not given or not posixpath.splitext(given)[1]:  # some tools leave out the suffix
        found = source.by_base_stem.get(stem, [])
        if len(found) == 1:
            return found[0]
        given = given or stem
    return source.image(given, posixpath.dirname(name), notes, name)


def _size(root: Element) -> tuple[int, int] | None:
    sides = [_number(root.findtext(f'size/{side}')) for side in ('width', 'height')]
    return tuple(map(int, sides)) if all(side is not None and side >= 1 for side in sides) else None


def _object(entry: Element, where: str, notes: Notes) -> tuple[Object, list[float]] | None:
    """The object, and the corners of its box, which is still to be set."""
    label = (entry.findtext('name') or '').strip()
    corners = [_number(entry.findtext(f'bndbox/{key}')) for key in CORNERS]
    if not label:
        notes.fault('objects have no name; add it, or remove the objects', where)
        return None
    if None in corners:
        texts = [entry.findtext(f'bndbox/{key}') for key in CORNERS]
        notes.fault('boxes are not four numbers; fix or remove them', f'{where}: {texts}')
        return None
    is_crowd = (entry.findtext('difficult') or '0').strip() not in ('0', 'False', 'false')
    if is_crowd:
        notes.warn('objects marked difficult, ignored in training and evaluation', where)
    found = Object(label, where, is_crowd=is_crowd)
    polygon = entry.find('polygon')
    if polygon is not None:
        points = {child.tag: _number(child.text) for child in polygon}
        keys = [f'{axis}{i}' for i in range(1, len(points) // 2 + 1) for axis in 'xy']
        values = [points.get(key) for key in keys]
        if len(values) < 6 or None in values:
            notes.fault(
                'polygons have fewer than 3 points or wrong numbers; fix or remove them', where
            )
            return None
        found.polygons = [values]
    return found, corners


def _set_boxes(found: list[tuple[Object, list[float]]]) -> bool:
    """Set all boxes; returns whether pixels count from 1."""
    numbers = [c for _, corners in found for c in corners]
    from_one = bool(numbers) and min(numbers) >= 1 and all(c.is_integer() for c in numbers)
    shift = 1.0 if from_one else 0.0
    for entry, (left, top, right, bottom) in found:
        left, top = left - shift, top - shift
        entry.box = (left, top, right - left, bottom - top)
        if entry.polygons and shift:
            entry.polygons = [[c - shift for c in polygon] for polygon in entry.polygons]
    return from_one


def _number(text: str | None) -> float | None:
    try:
        number = float(text or '')
    except ValueError:
        return None
    return number if math.isfinite(number) and abs(number) < 2**31 else None
