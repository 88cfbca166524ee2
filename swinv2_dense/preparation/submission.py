"""Check detections on COCO test-dev and pack them for the evaluation server.

The server takes a zip with one JSON file at its top level; boxes and masks are submitted
separately. See "results format" and "upload" on cocodataset.org.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..atomic_files import replacing
from ..checks.coco_masks import check_mask
from ..errors import ConfigError
from .annotations import ListedImage, read_annotations
from .coco import CATEGORY_IDS
from .report import ReportRow, is_sound, progress

MAX_DETECTIONS = 100  # per image; the server ignores the rest
STEM = 'detections_test-dev2017_{}_results'


def write_submission(
    results: Path, image_info: Path, name: str, folder: Path
) -> tuple[Path | None, list[ReportRow]]:
    """Write the zip unless the results have errors.

    Args:
        results: PREFIX.bbox.json or PREFIX.segm.json of mmdet's CocoMetric with `format_only`.
        image_info: image_info_test-dev2017.json.
        name: Of the algorithm, for the file name.
        folder: Where the zip goes; created if necessary.

    Returns:
        The zip, or None if there are errors, and the rows of the report.

    Raises:
        ConfigError: The name is not a valid file name, the zip exists, a file cannot be read or
            written, or the results are not a list of detections.
    """
    if not re.fullmatch(r'[\w.-]+', name):
        raise ConfigError(f'--name={name!r} may only contain letters, digits and . _ -')
    target = folder / f'{STEM.format(name)}.zip'
    if target.exists():
        raise ConfigError(f'{target} exists; remove it or choose another name')
    if not image_info.is_file():
        raise ConfigError(f'--image-info={image_info}: there is no such file')
    listed = ReportRow(image_info.name, 'images')
    content = read_annotations(image_info, listed, with_boxes=False)
    checked = ReportRow(results.name, 'detections')
    if content is None:
        checked.note = 'not checked: the list of images is missing'
        return None, [listed, checked]
    records = _read(results)
    kind = 'segmentation' if 'segmentation' in records[0] else 'bbox'
    check_results(records, kind, {image.id: image for image in content.images}, checked)
    if not is_sound([listed, checked]):
        return None, [listed, checked]
    # Given a box next to a mask, the server uses the area of the box, which changes AP by size.
    keys = ('image_id', 'category_id', kind, 'score')
    _write([{key: record[key] for key in keys} for record in records], target)
    return target, [listed, checked]


def check_results(
    records: list[dict[str, Any]], kind: str, images: Mapping[int, ListedImage], part: ReportRow
) -> None:
    """Report the index of each record that is not a detection of `kind`, bbox or segmentation."""
    part.found = len(records)
    detections = Counter()
    for index, record in enumerate(progress(records, part.name, len(records))):
        problem = _problem(record, kind, images)
        if problem:
            part.fault(problem, f'record {index}: {str(record)[:100]}')
        else:
            detections[record['image_id']] += 1
    for image_id, image in images.items():
        if not detections[image_id]:
            part.warn('image without detections', image.file_name)
        if detections[image_id] > MAX_DETECTIONS:
            part.warn(
                f'image with more than {MAX_DETECTIONS} detections; only the best count',
                f'{image.file_name}: {detections[image_id]}',
            )


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        records = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise ConfigError(f'{path} cannot be read: {error.strerror}') from error
    except ValueError as error:
        raise ConfigError(f'{path} is not valid JSON: {error}') from error
    is_list = isinstance(records, list) and all(isinstance(record, dict) for record in records)
    if not is_list or not records:
        raise ConfigError(
            f'{path} is not a list of detections; mmdet writes one to PREFIX.bbox.json and '
            'PREFIX.segm.json'
        )
    return records


def _problem(record: dict[str, Any], kind: str, images: Mapping[int, ListedImage]) -> str | None:
    missing = [key for key in ('image_id', 'category_id', kind, 'score') if key not in record]
    if missing:
        return f'detection without {", ".join(missing)}'
    if not isinstance(record['image_id'], int) or record['image_id'] not in images:
        return 'image_id that is not listed'
    if record['category_id'] not in CATEGORY_IDS:
        return "category_id that is not one of COCO's 80"
    if not _is_finite(record['score']) or not 0 <= record['score'] <= 1:
        return 'score that is not a number from 0 to 1'
    if kind == 'bbox':
        return _box_problem(record['bbox'])
    return _mask_problem(record['segmentation'], images[record['image_id']])


def _box_problem(box: Any) -> str | None:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
        return 'bbox that is not four finite numbers [x, y, width, height]'
    return 'bbox of negative size' if min(box[2:]) < 0 else None


def _mask_problem(mask: Any, image: ListedImage) -> str | None:
    if not isinstance(mask, dict) or not isinstance(mask.get('counts'), str):
        return 'segmentation that is not compressed RLE'
    if mask.get('size') != [image.height, image.width]:
        return 'segmentation whose size is not that of the image'
    try:
        check_mask(mask)
    except ValueError as error:
        return str(error)
    return None


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _write(records: list[dict[str, Any]], target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(target) as draft,
            zipfile.ZipFile(draft, 'w', zipfile.ZIP_DEFLATED) as archive,
        ):
            archive.writestr(f'{target.stem}.json', json.dumps(records, separators=(',', ':')))
    except OSError as error:
        raise ConfigError(f'{target} cannot be written: {error.strerror}') from error
