"""Read an annotation file in COCO format, as leniently as possible without guessing.

json parses the file once. Each annotation becomes a row of numbers as soon as it is parsed: the
text of a large file takes gigabytes, and its dicts would take several times as much.
"""

from __future__ import annotations

import codecs
import json
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .coco_masks import check_mask, decode_rle

# Columns of `CocoFile.rows`. IMAGE and CATEGORY index `keys`, and are -1 where there is no id.
# The last six are the extent of a mask, and the size of an RLE mask.
ID, IMAGE, CATEGORY, X, Y, W, H, AREA, CROWD, IGNORE, MASK = range(11)
LEFT, TOP, RIGHT, BOTTOM, MASK_HEIGHT, MASK_WIDTH = range(11, 17)
COLUMNS = 17
NO_MASK, SOUND, PARTLY_SHORT, SHORT, WRONG = range(5)  # in the column MASK
EXTENTS = 20_000  # annotations whose masks are measured; enough to recognize the format of boxes
NOTHING = math.nan
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: 'utf-8',
    codecs.BOM_UTF32_LE: 'utf-32',  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: 'utf-32',
    codecs.BOM_UTF16_LE: 'utf-16',
    codecs.BOM_UTF16_BE: 'utf-16',
}


class Image(NamedTuple):
    """An entry of `images`; width and height in pixels, nan where they are missing."""

    key: int  # of its id in `CocoFile.keys`
    file_name: str
    width: float
    height: float


class Findings(dict[str, tuple[int, str]]):
    """How often each kind was found, and where it was found first."""

    def add(self, kind: str, name: str, count: int = 1) -> None:
        number, first = self.get(kind, (0, name))
        self[kind] = (number + count, first)


class CocoFile(NamedTuple):
    """What the checks need of an annotation file."""

    keys: list[Any]  # ids of images and categories; numeric text as int
    images: list[Image]
    categories: list[tuple[int, str]]  # key, name
    rows: np.ndarray  # (annotations, COLUMNS) float64
    has_annotations: bool  # whether the file has such a list
    wrong_masks: dict[int, str]  # by row: what is wrong, if masks are used
    repairs: Findings  # what is wrong but unambiguous
    faults: Findings

    def name(self, index: int) -> str:
        """What messages call an annotation."""
        number = self.rows[index, ID]
        return f'annotations[{index}]' if math.isnan(number) else f'annotation {number:.0f}'


def parse(path: str | Path, hook: Callable[[dict], Any] | None = None) -> tuple[Any, str]:
    """The content of a JSON file, and its encoding if a byte-order mark names one.

    Raises:
        ValueError: It is not JSON, or its encoding is not UTF-8; says how to convert it.
        OSError: It cannot be read.
    """
    data = Path(path).read_bytes()
    marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)), '')
    try:
        content = json.loads(data, object_hook=hook)
    except UnicodeDecodeError as error:
        raise ValueError(_encoding_fault(path, data, error)) from error
    except RecursionError as error:
        raise ValueError('is not in COCO format: it is nested too deeply') from error
    except json.JSONDecodeError as error:
        raise ValueError(f'is not in COCO format: it is not valid JSON: {error}') from error
    return content, marked


def _encoding_fault(path: str | Path, data: bytes, error: UnicodeDecodeError) -> str:
    # Bytes 0x80 to 0x9f are control characters in Latin-1, letters and quotes in Windows-1252.
    upper = {byte for byte in range(0x80, 0xA0) if bytes([byte]) in data}
    encoding = 'WINDOWS-1252' if upper else 'ISO-8859-1'
    around = data[max(0, error.start - 12) : error.start + 8].decode('cp1252', 'replace')
    return (
        f'is not UTF-8: byte 0x{data[error.start]:02x} at {error.start} (in {around!r}). It is '
        f'probably {encoding} (Latin-1); convert it: iconv -f {encoding} -t UTF-8 {path} > NEW.json'
    )


def read_coco_file(path: str | Path, with_masks: bool = False) -> CocoFile:
    """Read an annotation file.

    Args:
        path: The .json file.
        with_masks: Whether masks are used, so that wrong ones are faults.

    Raises:
        ValueError: It is not such a file; the message continues after the name of the file.
        OSError: It cannot be read.
    """
    reader = _Reader(with_masks)
    content, marked = parse(path, reader)
    if not isinstance(content, dict):
        raise ValueError('is not in COCO format: it is not an object with a list of images')
    if marked:
        reader.repairs.add(f'has a byte-order mark ({marked})', 'the first bytes')
    missing = [key for key in ('images', 'categories') if not isinstance(content.get(key), list)]
    if missing:
        raise ValueError(f'is not in COCO format: it has no list {missing[0]!r}')
    annotations = content.get('annotations')
    if annotations is not None and not isinstance(annotations, list):
        raise ValueError("is not in COCO format: 'annotations' is not a list")
    kept = []
    for index, entry in enumerate(annotations or ()):
        if isinstance(entry, _Row):
            kept.append(entry)
        else:
            reader.faults.add('are not annotations', f'annotations[{index}]={str(entry)[:40]}')
    images = []
    for index, entry in enumerate(content['images']):
        if isinstance(entry, Image):
            images.append(entry)
        else:
            reader.faults.add(
                'images have no id or file_name', f'images[{index}]={str(entry)[:40]}'
            )
    categories = []
    for index, entry in enumerate(content['categories']):
        if isinstance(entry, Mapping) and isinstance(entry.get('name'), str):
            categories.append((reader.key(entry.get('id')), entry['name']))
        else:
            reader.faults.add('categories have no name', f'categories[{index}]={str(entry)[:40]}')
    places = np.asarray(kept, dtype=np.int64)
    wrong = {place: reader.wrong[row] for place, row in enumerate(kept) if row in reader.wrong}
    return CocoFile(
        keys=list(reader.keys),
        images=images,
        categories=categories,
        rows=np.asarray(reader.rows).reshape(-1, COLUMNS)[places],
        has_annotations=annotations is not None,
        wrong_masks=wrong if reader.wrong else {},
        repairs=reader.repairs,
        faults=reader.faults,
    )


class _Row(int):
    """Stands for an annotation that was read: its row."""


class _Reader:
    """`object_hook` of json: an image becomes an Image, an annotation a row."""

    def __init__(self, with_masks: bool) -> None:
        self.with_masks = with_masks
        self.rows = array('d')
        self.keys: dict[Any, int] = {}
        self.wrong: dict[int, str] = {}
        self.repairs, self.faults = Findings(), Findings()

    def __call__(self, record: dict[str, Any]) -> Any:
        if 'segments_info' in record:
            self.faults.add(
                "annotations have segments_info, as in panoptic files; use type='"
                "CocoPanopticDataset'",
                f'of image {record.get("image_id")!r}',
            )
        elif 'bbox' in record or 'image_id' in record or 'category_id' in record:
            return self._annotation(record)
        elif isinstance(record.get('file_name'), str) and 'id' in record:
            return self._image(record)
        return record

    def key(self, value: Any) -> int:
        """The index of an id in `keys`; -1 if it is invalid."""
        number = id_of(value)
        if number is None:
            return -1
        if number is not value and isinstance(value, str):
            self.repairs.add('numbers are written as text', f'id {value!r}')
        return self.keys.setdefault(number, len(self.keys))

    def _number(self, value: Any, name: str) -> float:
        number = number_of(value)
        if isinstance(value, str) and number == number:
            self.repairs.add('numbers are written as text', f'{value!r} of {name}')
        return number

    def _image(self, record: dict[str, Any]) -> Any:
        key, name = self.key(record['id']), record['file_name']
        if key < 0:
            return record
        width, height = (self._number(record.get(side), name) for side in ('width', 'height'))
        return Image(key, name, width, height)

    def _annotation(self, record: dict[str, Any]) -> _Row:
        index = len(self.rows) // COLUMNS
        number = self._number(record.get('id'), 'an annotation')
        name = f'annotations[{index}]' if number != number else f'annotation {number:.0f}'
        box = record.get('bbox')
        mask = polygons_of(record.get('segmentation'))
        if mask is not record.get('segmentation'):
            self.repairs.add('polygons are not a list of lists [x, y, x, y, ...]', name)
        kind = self._mask_kind(mask, index)
        extent = extent_of(mask) if index < EXTENTS or not box else None
        if not box and extent:
            self.repairs.add('annotations have no bbox; it is computed from the mask', name)
            left, top, right, bottom = extent
            numbers = (left, top, right - left, bottom - top)
        else:
            numbers = self._box(box, name)
        crowd = record.get('iscrowd', NOTHING)
        if crowd is None or isinstance(crowd, str):
            self.repairs.add('values of iscrowd are not numbers', name)
            crowd = number_of(crowd)
        self.rows.extend(
            (
                number,
                self.key(record.get('image_id')),
                self.key(record.get('category_id')),
                *numbers,
                self._number(record.get('area'), name),
                number_of(crowd),
                float(bool(record.get('ignore'))),
                kind,
                *(extent or (NOTHING,) * 4),
                *_rle_size(mask),
            )
        )
        return _Row(index)

    def _box(self, box: Any, name: str) -> tuple[float, ...]:
        if isinstance(box, list) and len(box) == 4:
            numbers = tuple(self._number(side, name) for side in box)
            if all(map(math.isfinite, numbers)):
                return numbers
        missing = 'have no bbox, and no mask to compute it from' if not box else ''
        self.faults.add(
            f'annotations {missing}' if missing else 'bboxes are not four finite numbers',
            name if missing else f'{name}: {str(box)[:60]}',
        )
        return (NOTHING,) * 4

    def _mask_kind(self, mask: Any, index: int) -> int:
        if not mask and mask != {}:
            return NO_MASK
        if self.with_masks:
            try:
                check_mask(mask)
            except ValueError as error:
                self.wrong[index] = str(error)
                return WRONG
        if not isinstance(mask, list):
            return SOUND
        short = [not isinstance(p, list) or len(p) < 6 or len(p) % 2 == 1 for p in mask]
        if not any(short):
            return SOUND
        return SHORT if all(short) else PARTLY_SHORT


def id_of(value: Any) -> Any:
    """An id as pycocotools should see it: numeric text as int; None if it is invalid."""
    if isinstance(value, str):
        text = value.strip()
        try:
            return int(text) if text.lstrip('-').isdecimal() else value
        except ValueError:  # of more digits than Python reads
            return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def number_of(value: Any) -> float:
    """A number, possibly written as text; nan for anything else."""
    try:
        return float(value) if isinstance(value, (int, float, str)) else NOTHING
    except (ValueError, OverflowError):
        return NOTHING


def polygons_of(mask: Any) -> Any:
    """A mask; a single polygon without its outer list, or as a list of points, in COCO's form."""
    if not isinstance(mask, list) or len(mask) < 3:
        return mask
    if all(isinstance(number, (int, float)) for number in mask):
        return [mask] if len(mask) >= 6 and len(mask) % 2 == 0 else mask
    if all(isinstance(point, list) and len(point) == 2 for point in mask):
        return [[number for point in mask for number in point]]
    return mask


def extent_of(mask: Any) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of polygons or RLE in pixels; None if empty or invalid."""
    try:
        if isinstance(mask, Mapping):
            return _rle_extent(mask)
        polygons = [polygon for polygon in mask or () if len(polygon) >= 2]
        xs, ys = [p[0::2] for p in polygons], [p[1::2] for p in polygons]
        extent = (min(map(min, xs)), min(map(min, ys)), max(map(max, xs)), max(map(max, ys)))
        finite = all(isinstance(n, (int, float)) and math.isfinite(n) for n in extent)
        return extent if finite else None
    except (TypeError, ValueError, KeyError, OverflowError):
        return None


def _rle_size(mask: Any) -> tuple[float, float]:
    size = mask.get('size') if isinstance(mask, Mapping) else None
    if isinstance(size, list) and len(size) == 2:
        return number_of(size[0]), number_of(size[1])
    return NOTHING, NOTHING


def mask_area(mask: Any) -> float:
    """Pixels that RLE fills or polygons enclose; 0 if the mask is invalid."""
    try:
        if isinstance(mask, Mapping):
            return float(sum(_counts(mask)[1::2]))
        return sum(map(_polygon_area, mask or ()))
    except (TypeError, ValueError, KeyError, OverflowError):
        return 0.0


def _polygon_area(polygon: Sequence[float]) -> float:
    points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    x, y = points[:, 0], points[:, 1]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _counts(mask: Mapping) -> list[int]:
    check_mask(mask)  # also bounds the size
    return decode_rle(mask['counts']) if isinstance(mask['counts'], str) else mask['counts']


def _rle_extent(mask: Mapping) -> tuple[float, float, float, float] | None:
    ends = np.cumsum(np.asarray(_counts(mask), dtype=np.int64))
    height = mask['size'][0]
    starts, stops = ends[:-1:2], ends[1::2]  # runs of pixels of the mask, down the columns
    starts, stops = starts[starts < stops], stops[starts < stops]
    if not len(starts):
        return None
    left, right = starts[0] // height, (stops[-1] - 1) // height + 1
    if (starts // height != (stops - 1) // height).any():  # a run continues in the next column
        return float(left), 0.0, float(right), float(height)
    return (
        float(left),
        float((starts % height).min()),
        float(right),
        float(((stops - 1) % height).max() + 1),
    )
