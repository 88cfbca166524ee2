"""COCO JSON: one file or one per split, anywhere in the folder; also Roboflow's and CVAT's."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...checks.coco_file import id_of, number_of, polygons_of
from ...checks.coco_masks import check_mask
from ...errors import ConfigError, truncate
from .found import Found, Object, Sample
from .json_files import files_like, read_json
from .notes import Notes
from .source import SPLIT_WORDS, Source, split_of, split_of_folders

KEYS = ('images', 'annotations', 'categories')
ROBOFLOW = '_annotations.coco.json'


def evidence(source: Source) -> str:
    files = _files(source)
    if not files:
        return ''
    who = 'Roboflow export, ' if any(name.endswith(ROBOFLOW) for name in files) else ''
    return f'{who}{truncate(files, 3)} with images, annotations and categories'


def read(source: Source, notes: Notes, chosen: Sequence[str] | None = None) -> Found:
    """All annotation files, or the chosen ones.

    Raises:
        ConfigError: A file is broken, two files annotate the same images, or their images are
            listed twice.
    """
    files = chosen or _files(source)
    classes: dict[str, None] = {}
    samples: dict[str, Sample] = {}
    owner: dict[str, str] = {}
    for name in files:
        for image, sample in _read_file(source, name, classes, notes):
            other = owner.setdefault(image, name)
            if image in samples:
                if other == name:
                    raise ConfigError(
                        f'{source.path(name)} lists image {image} twice; merge the two entries'
                    )
                raise ConfigError(
                    f'{source.path(other)} and {source.path(name)} both annotate {image}; say '
                    f'which to use: --annotations {" ".join(_family(other, files))}'
                )
            samples[image] = sample
    for image in source.images:
        if image not in samples:
            notes.warn('images that no annotation file lists, left out', image)
    with_masks = any(o.has_mask for sample in samples.values() for o in sample.objects)
    targets = ('masks', 'boxes', 'maps') if with_masks else ('boxes',)
    return Found(f'COCO JSON: {truncate(files, 3)}', list(classes), list(samples.values()), targets)


def _files(source: Source) -> tuple[str, ...]:
    return files_like(source, *KEYS)


def _family(name: str, files: Sequence[str]) -> list[str]:
    """The files that differ from `name` in the split only, itself included."""

    def key(file: str) -> str:
        words = sorted(SPLIT_WORDS.get(split_of(file), ()), key=len, reverse=True)
        return re.sub('|'.join(words), '', file) if words else file

    return [file for file in files if key(file) == key(name)]


def _read_file(
    source: Source, name: str, classes: dict[str, None], notes: Notes
) -> list[tuple[str, Sample]]:
    content = read_json(source.path(name), *KEYS)
    names = _categories(content['categories'], name, notes)
    used = {id_of(a.get('category_id')) for a in content['annotations'] if isinstance(a, Mapping)}
    for number, label in names.items():
        if number in used or not _is_dummy(content['categories'], number):
            classes.setdefault(label)
    samples: dict[Any, tuple[str, Sample]] = {}
    folder, listed, skipped = posixpath.dirname(name), set(), set()
    for index, entry in enumerate(content['images']):
        given, number = _image_entry(entry)
        if number is None:
            notes.fault(
                'images have no id or file_name; export the file again', f'{name}, images[{index}]'
            )
            continue
        if number in listed:
            notes.fault(
                'images share their id with another; give each its own', f'{name}: {given!r}'
            )
            continue
        listed.add(number)
        image = source.image(given, folder, notes, name)
        if image is None:
            skipped.add(number)
            continue
        size = tuple(number_of(entry.get(side)) for side in ('width', 'height'))
        known = all(side >= 1 for side in size)
        split = split_of(name) or split_of_folders(image)
        sample = Sample(source.path(image), split, size if known else None)
        samples[number] = image, sample
    for index, entry in enumerate(content['annotations']):
        _add_object(entry, f'{name}, annotations[{index}]', names, samples, skipped, notes)
    return list(samples.values())


def _image_entry(entry: Any) -> tuple[str, Any]:
    if not isinstance(entry, Mapping) or not isinstance(entry.get('file_name'), str):
        return '', None
    return entry['file_name'], id_of(entry.get('id'))


def _categories(entries: list, name: str, notes: Notes) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for index, entry in enumerate(entries):
        number = id_of(entry.get('id')) if isinstance(entry, Mapping) else None
        label = entry.get('name') if isinstance(entry, Mapping) else None
        if number is None or not isinstance(label, str):
            notes.fault('categories have no id or name; add them', f'{name}, categories[{index}]')
        elif number in names or label in names.values():
            notes.fault(
                'categories share their id or name with another; give each its own',
                f'{name}: {label!r} with id {number!r}',
            )
        else:
            names[number] = label
    return names


def _is_dummy(entries: list, number: Any) -> bool:
    """Roboflow writes the name of the project as a category 0 without objects."""
    entry = next(e for e in entries if isinstance(e, Mapping) and id_of(e.get('id')) == number)
    return number == 0 and entry.get('supercategory') == 'none' and len(entries) > 1


def _add_object(
    entry: Any, where: str, names: Mapping, samples: Mapping, skipped: set, notes: Notes
) -> None:
    if not isinstance(entry, Mapping):
        notes.fault('annotations are not objects; export the file again', where)
        return
    image, label = id_of(entry.get('image_id')), names.get(id_of(entry.get('category_id')))
    if label is None:
        notes.fault(
            'annotations have the category_id of no category; fix it, or list the category',
            f'{where}: {entry.get("category_id")!r}',
        )
        return
    if image not in samples:
        if image not in skipped:
            notes.warn(
                'annotations of images that the file does not list, left out',
                f'{where}: image_id {entry.get("image_id")!r}',
            )
        return
    found = Object(label, where, is_crowd=bool(entry.get('iscrowd') or entry.get('ignore')))
    if not _set_mask(found, entry.get('segmentation'), where, notes):
        return
    box = entry.get('bbox')
    if box:
        numbers = [number_of(side) for side in box] if isinstance(box, list) else []
        if len(numbers) != 4 or not all(abs(side) < 2**31 for side in numbers):
            notes.fault('bboxes are not four finite numbers; fix them', f'{where}: {str(box)[:60]}')
            return
        found.box = tuple(numbers)
    elif not found.has_mask:
        notes.fault('annotations have neither a bbox nor a mask; remove or complete them', where)
        return
    samples[image][1].objects.append(found)


def _set_mask(found: Object, mask: Any, where: str, notes: Notes) -> bool:
    """Set the mask of an object; False, with a note, if it is broken."""
    mask = polygons_of(mask)
    if not mask or mask == [[]]:
        return True
    try:
        check_mask(mask)
    except ValueError as error:
        notes.fault(f'masks are wrong: {error}; fix or remove them', where)
        return False
    if isinstance(mask, dict):
        found.rle = {'size': mask['size'], 'counts': mask['counts']}
        return True
    short = [p for p in mask if len(p) < 6 or len(p) % 2]
    if len(short) == len(mask):
        notes.fault(
            'polygons have fewer than 3 points or an odd number of coordinates; fix or remove them',
            where,
        )
        return False
    for _ in short:
        notes.warn('parts of masks with fewer than 3 points, left out', where)
    found.polygons = [p for p in mask if p not in short]
    return True
