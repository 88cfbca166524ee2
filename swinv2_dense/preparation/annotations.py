"""Read and check annotation files in COCO format.

json parses the file once. Each annotation is checked and reduced to eight numbers as soon as it is
parsed: the text of a large file takes gigabytes, and its dicts would take several times as much.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..checks.coco_file import parse
from ..checks.coco_masks import check_mask
from .report import ReportRow

REQUIRED = ('id', 'image_id', 'category_id', 'bbox', 'area')  # what mmdet reads of each annotation


class ListedImage(NamedTuple):
    """An entry of `images`; width and height in pixels."""

    id: int
    file_name: str
    width: int
    height: int


class Annotations(NamedTuple):
    """What later checks need of an annotation file."""

    images: list[ListedImage]
    categories: list[Any]


def read_annotations(
    path: Path, part: ReportRow, with_boxes: bool = True, with_masks: bool = False
) -> Annotations | None:
    """Read an annotation file and report on it.

    Args:
        path: The .json file.
        part: Receives the findings; counts annotations, or images without boxes.
        with_boxes: Whether there must be annotations; lists of test images have none.
        with_masks: Whether each annotation must have a segmentation.

    Returns:
        None if the file cannot be used; `part` has the reason.
    """
    reader = _Reader(part, with_masks)
    content = _parse(path, part, reader)
    lists = ['images', 'categories'] + ['annotations'] * with_boxes
    missing = [key for key in lists if content and not isinstance(content.get(key), list)]
    for key in missing:
        part.fault('missing list', key)
    if missing or not content:
        return None
    for key, known in [('images', _Seen.IMAGE), ('annotations', _Seen.ANNOTATION)]:
        for index, entry in enumerate(content.get(key) or []):
            if entry is not known and not (key == 'images' and isinstance(entry, ListedImage)):
                part.fault('entry that is neither image nor annotation', f'{key}[{index}]')
    for entry in content['categories']:
        if not _is_category(entry):
            part.fault('category without a name or an integer id', str(entry))
    images = [image for image in content['images'] if isinstance(image, ListedImage)]
    part.found = len(content['annotations' if with_boxes else 'images'])
    reader.check(images, content['categories'])
    return Annotations(images, content['categories'])


def check_categories(
    part: ReportRow, categories: Iterable[Any], ids: Iterable[int], names: Iterable[str]
) -> None:
    """Compare the categories with those of the dataset, in mmdet's order.

    mmdet ignores categories with other names, and numbers labels in the order of the file.
    """
    expected = list(zip(ids, names))
    found = [(c['id'], c['name']) for c in categories if _is_category(c)]
    for category in sorted(set(expected) - set(found)):
        part.fault('missing category', f'{category[0]} {category[1]}')
    for category in found:
        if category not in expected:
            part.fault('category that this dataset does not have', f'{category[0]} {category[1]}')
    if set(found) == set(expected) and found != expected:
        for (_, name), (_, right) in zip(found, expected):
            if name != right:
                part.fault('categories in the wrong order', f'{name} where {right} should be')


def _parse(path: Path, part: ReportRow, hook: Callable[[dict], Any]) -> dict[str, Any] | None:
    print(f'reading {path}', file=sys.stderr)
    try:
        content, marked = parse(path, hook)
    except FileNotFoundError:
        part.fault('missing', str(path))
    except OSError as error:
        part.fault('not readable', f'{path}: {error.strerror}')
    except ValueError as error:
        part.fault('not valid JSON', f'{path} {error}')
    else:
        if marked:
            part.warn('byte-order mark, which pycocotools cannot read', f'{path}: {marked}')
        if isinstance(content, dict) and content:
            return content
        part.fault('not a JSON object with images and categories', str(path))
    return None


class _Seen(Enum):
    """Stands for an annotation that was read, or an image that was reported."""

    ANNOTATION = 0
    IMAGE = 1


class _Reader:
    """`object_hook` of json: an image becomes a ListedImage, an annotation a row."""

    def __init__(self, part: ReportRow, with_masks: bool) -> None:
        self.part = part
        self.required = (*REQUIRED, 'segmentation') if with_masks else REQUIRED
        # Per annotation: id, image id, category id, x, y, width, height, area.
        self.rows = array('d')
        self.rle_sizes: list[tuple[int, int, list]] = []  # annotation id, image id, [H, W]

    def __call__(self, record: dict[str, Any]) -> Any:
        if 'image_id' in record or 'bbox' in record:
            self._annotation(record)
            return _Seen.ANNOTATION
        return self._image(record) if 'file_name' in record else record

    def _image(self, record: dict[str, Any]) -> ListedImage | _Seen:
        name = record['file_name']
        image = ListedImage(record.get('id'), name, record.get('width'), record.get('height'))
        whole = all(map(_is_whole, (image.id, image.width, image.height)))
        if whole and isinstance(name, str):
            return image
        self.part.fault('image without a name, or an integer id and size', str(name))
        return _Seen.IMAGE

    def _annotation(self, record: dict[str, Any]) -> None:
        name = f'annotation {record.get("id")}'
        missing = [key for key in self.required if key not in record]
        if missing:
            self.part.fault(f'annotation without {", ".join(missing)}', name)
            return
        try:
            x, y, w, h = record['bbox']
            numbers = [record[key] for key in ('id', 'image_id', 'category_id')]
            self.rows.extend(array('d', [*numbers, x, y, w, h, record['area']]))
        except (TypeError, ValueError, OverflowError):
            self.part.fault('annotation whose ids, area or bbox are not numbers', name)
            return
        if 'segmentation' in self.required:
            self._segmentation(record, name)

    def _segmentation(self, record: dict[str, Any], name: str) -> None:
        masks = record['segmentation']
        try:
            check_mask(masks)
        except ValueError as error:
            self.part.fault(str(error), name)
            return
        if isinstance(masks, dict):
            self.rle_sizes.append((record['id'], record['image_id'], masks['size']))
        elif any(len(m) < 6 or len(m) % 2 for m in masks):
            self.part.warn('polygon of odd or fewer than 6 numbers, which mmdet drops', name)

    def check(self, images: Sequence[ListedImage], categories: Iterable[Any]) -> None:
        """Check what needs the whole file: references, and sizes against those of the images."""
        rows = np.asarray(self.rows).reshape(-1, 8)
        by_id = {image.id: image for image in images}
        category_ids = [c['id'] for c in categories if _is_category(c)]
        self._each('repeated image id', _repeated([i.id for i in images]), 'image')
        self._each('repeated annotation id', _repeated(rows[:, 0]))
        known = np.isin(rows[:, 1], list(by_id))
        self._each('annotation of an image that is not listed', rows[~known, 0])
        known_category = np.isin(rows[:, 2], category_ids)
        self._each('annotation of a category that is not listed', rows[~known_category, 0])
        self._check_boxes(rows[known], by_id)
        for name, image_id, size in self.rle_sizes:
            image = by_id.get(image_id)
            if image and size != [image.height, image.width]:
                self.part.fault(
                    'RLE whose size is not that of the image',
                    f'annotation {name}: {size}, not {[image.height, image.width]}',
                )

    def _check_boxes(self, rows: np.ndarray, by_id: Mapping[int, ListedImage]) -> None:
        """Report each box for its worst problem."""
        finite = np.isfinite(rows[:, 3:]).all(1)
        self._each('box or area that is not finite', rows[~finite, 0])
        rows = rows[finite]
        ids, inverse = np.unique(rows[:, 1], return_inverse=True)
        sizes = np.array([by_id[i][2:] for i in ids]).reshape(-1, 2)[inverse]  # width, height
        start, size, area = rows[:, 3:5], rows[:, 5:7], rows[:, 7]
        end = start + size
        dropped = 'which mmdet drops'
        cases = {
            f'box of negative size, {dropped}': (size < 0).any(1),
            f'box under a pixel or without area, {dropped}': (size < 1).any(1) | (area <= 0),
            f'box outside its image, {dropped}': ((end <= 0) | (start >= sizes)).any(1),
            'box over the border by more than a pixel': ((start < -1) | (end > sizes + 1)).any(1),
        }
        reported = np.zeros(len(rows), dtype=bool)
        for kind, found in cases.items():
            self._each(kind, rows[found & ~reported, 0], record=self.part.warn)
            reported |= found

    def _each(
        self,
        kind: str,
        ids: Iterable[float],
        what: str = 'annotation',
        record: Callable[[str, str], None] | None = None,
    ) -> None:
        for number in ids:
            (record or self.part.fault)(kind, f'{what} {number:.0f}')


def _is_category(entry: Any) -> bool:
    named = isinstance(entry, Mapping) and isinstance(entry.get('name'), str)
    return named and _is_whole(entry.get('id'))


def _is_whole(value: Any) -> bool:
    """Whether a value is an integer that is exact as a float, as in `rows`."""
    return isinstance(value, int) and abs(value) <= 2**53


def _repeated(ids: Any) -> np.ndarray:
    values, counts = np.unique(np.asarray(ids), return_counts=True)
    return values[counts > 1]
