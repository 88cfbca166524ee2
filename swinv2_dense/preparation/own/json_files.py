"""Tell JSON files of different formats apart by their keys, without parsing them."""

from __future__ import annotations

import mmap
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...checks.coco_file import parse
from ...errors import ConfigError
from .source import Source


def has_keys(path: Path, *keys: str) -> bool:
    """Whether each key occurs in the file, at any depth; files in UTF-16 have none."""
    if not path.stat().st_size:
        return False
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return all(text.find(f'"{key}"'.encode()) >= 0 for key in keys)


@lru_cache(maxsize=4)
def files_like(source: Source, required: str, *others: str) -> tuple[str, ...]:
    """JSON files with a key `required` and all of the others; files that are cut off lack some."""

    def is_like(name: str) -> bool:
        path = source.path(name)
        if not has_keys(path, required):
            return False
        return has_keys(path, *others) or not _is_json(path)

    return tuple(name for name in source.with_suffix('.json') if is_like(name))


def _is_json(path: Path) -> bool:
    try:
        parse(path)
    except ValueError:
        return False
    return True


def read_json(path: Path, *lists: str) -> dict[str, Any]:
    """An object that has the given lists.

    Raises:
        ConfigError: It is cut off, not JSON, or another object.
    """
    try:
        content, _ = parse(path)
    except ValueError as error:
        text = str(error).replace('is not in COCO format: it ', '')
        raise ConfigError(f'{path} {text}; export it again') from error
    missing = [
        key
        for key in lists
        if not isinstance(content, dict) or not isinstance(content.get(key), list)
    ]
    if missing:
        raise ConfigError(f'{path} has no list {missing[0]!r}; export it again')
    return content
