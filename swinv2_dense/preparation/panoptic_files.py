"""Check the files of a panoptic dataset in COCO's format: a JSON and a PNG per image."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..checks.pixel_limit import read_image_size
from ..errors import ConfigError, truncate
from .panoptic_ids import segment_ids

HEADER = 64  # bytes with the size of a PNG


class PanopticImage(NamedTuple):
    """An annotated image: its name, its PNG, its size in pixels, and its segments by id."""

    file_name: str
    png: str
    width: int
    height: int
    segments: dict[int, Mapping[str, Any]]


def read_panoptic(path: str | Path) -> tuple[list[PanopticImage], list[Mapping[str, Any]]]:
    """Annotated images and categories of a panoptic_*.json.

    Raises:
        ConfigError: It is not such a file; continues a sentence that starts with its name.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise ConfigError(f'not valid JSON: {error}') from error
    except OSError as error:
        raise ConfigError(f'{error.strerror}') from error
    lists = ('images', 'annotations', 'categories')
    missing = [key for key in lists if not isinstance(content, dict) or key not in content]
    if missing:
        raise ConfigError(f'has no {", ".join(missing)}; give a panoptic_*.json')
    categories = content['categories']
    for entry in categories:
        _require(entry, ('id', 'name', 'isthing'), f'the category {entry.get("name")}')
    ids = {category['id'] for category in categories}
    listed = {image['id']: image for image in content['images']}
    found = []
    for entry in content['annotations']:
        if 'segments_info' not in entry or 'file_name' not in entry:
            raise ConfigError(
                f'the annotation of image {entry.get("image_id")} has no segments_info or '
                'file_name; instances_*.json is for boxes and masks, give a panoptic_*.json'
            )
        image = listed.get(entry['image_id'])
        if image is None:
            raise ConfigError(f'image {entry["image_id"]} of an annotation is not listed')
        for segment in entry['segments_info']:
            named = f'segment {segment.get("id")} of {entry["file_name"]}'
            _require(segment, ('id', 'category_id', 'area', 'bbox'), named)
            if segment['category_id'] not in ids:
                raise ConfigError(
                    f'{named} has category_id={segment["category_id"]}, which is not listed'
                )
        segments = {segment['id']: segment for segment in entry['segments_info']}
        size = image['width'], image['height']
        found.append(PanopticImage(image['file_name'], entry['file_name'], *size, segments))
    bare = sorted(listed.keys() - {entry['image_id'] for entry in content['annotations']}, key=str)
    if bare:
        raise ConfigError(
            f'{len(bare)} of {len(listed)} images have no annotation, first '
            f'{listed[bare[0]]["file_name"]}; annotate or remove them'
        )
    return found, categories


def _require(entry: Mapping[str, Any], keys: Sequence[str], named: str) -> None:
    missing = [key for key in keys if key not in entry]
    if missing:
        raise ConfigError(f'{named} has no {", ".join(missing)}')


def check_png(folder: str | Path, image: PanopticImage, decode: bool) -> str:
    """What is wrong with the PNG of an image; '' if nothing.

    Args:
        folder: Of the PNGs.
        image: See `read_panoptic`.
        decode: Compare its ids, too; else only its size, which takes no time.
    """
    path = os.path.join(folder, image.png)
    try:
        with open(path, 'rb') as file:
            data = file.read() if decode else file.read(HEADER)
    except FileNotFoundError:
        return 'missing'
    except OSError as error:
        return f'not readable: {error.strerror}'
    size = read_image_size(data)
    if size is None or tuple(size) != (image.width, image.height):
        stated = f'{image.width} x {image.height}'
        found = 'not a PNG' if size is None else f'{size[0]} x {size[1]} pixels'
        return f'{found}, and its image has {stated}'
    if not decode:
        return ''
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        return 'damaged: OpenCV cannot decode it'
    ids = set(np.unique(segment_ids(bgr[..., ::-1])).tolist()) - {0}
    if unknown := ids - set(image.segments):
        return f'has ids that segments_info lacks: {truncate([str(i) for i in sorted(unknown)], 3)}'
    if absent := set(image.segments) - ids:
        return f'lacks ids of segments_info: {truncate([str(i) for i in sorted(absent)], 3)}'
    return ''
