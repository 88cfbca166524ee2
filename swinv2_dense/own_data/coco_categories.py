"""Read class names from a COCO annotation file."""

from __future__ import annotations

import json
import mmap
import os
import re

from ..checks.coco_file import parse
from ..errors import ConfigError

JSON_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]]')  # or a string, which may contain some


def read_classes(ann_file: str) -> tuple[str, ...]:
    """Category names of a COCO annotation file, in file order, by which mmdet numbers them.

    Raises:
        ConfigError: There is no such file, or it has no categories.
    """
    if not os.path.isfile(ann_file):
        raise ConfigError(
            f'annotation file {ann_file!r} does not exist; fix its name or data_root, for '
            'configs/_base_/datasets/own_instance.py with export OWN_DATA=FOLDER'
        )
    with open(ann_file, 'rb') as file:
        categories = _find_categories(file.fileno()) if os.path.getsize(ann_file) else None
    if not categories:
        categories = _parse_categories(ann_file)
    if not categories:
        raise ConfigError(f'{ann_file} is not in COCO format: it lists no categories with names')
    return tuple(category['name'] for category in categories)


def _find_categories(file: int) -> list[dict] | None:
    """Parse only the list "categories": training files of Objects365 take gigabytes."""
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as text:
        for key in re.finditer(rb'"categories"\s*:\s*\[', text):
            start = key.end() - 1
            try:
                found = json.loads(text[start : _end_of_list(text, start)])
            except (ValueError, RecursionError):
                continue
            if _has_names(found):
                return found
    return None


def _parse_categories(path: str) -> list[dict] | None:
    """Parse the whole file, which reports what is wrong with it and also reads UTF-16."""
    try:
        content, _ = parse(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f'{path} {error}') from error
    found = content.get('categories') if isinstance(content, dict) else None
    return found if isinstance(found, list) and _has_names(found) else None


def _has_names(found: list) -> bool:
    named = [isinstance(c, dict) and isinstance(c.get('name'), str) for c in found]
    return bool(named) and all(named)


def _end_of_list(text: mmap.mmap, start: int) -> int:
    depth = 0
    for token in JSON_BRACKET.finditer(text, start):
        depth += {b'[': 1, b']': -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return start  # the list does not end
