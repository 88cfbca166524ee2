"""How an annotation file is used, and what checks say of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .coco_file import CocoFile

MANY = 0.1  # of the objects; a loss beyond it must have a reason that the config gives


class Use(NamedTuple):
    """How a dataset uses an annotation file."""

    classes: tuple[str, ...] = ()  # none are all
    is_filtered: bool = False  # by the next two; test datasets are not
    filter_empty: bool = False
    min_size: int = 0  # pixels
    indices: int | tuple[int, ...] | None = None
    is_evaluated: bool = False  # by pycocotools, which reads more of an annotation
    with_masks: bool = False
    needs_objects: bool = True
    folder: str | None = None  # of the images; None leaves them unread
    is_rotated: bool | None = None  # by EXIF; None leaves sizes uncompared
    depth: int = 0  # folders that are kept of file_name; 0 is all


@dataclass
class Report:
    """What was found; lines go on after the name of the file."""

    errors: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)  # which a repaired copy has
    notes: list[str] = field(default_factory=list)
    counts: str = ''
    listed: int = 0
    kept: int = 0  # as mmdet's dataset holds, crowds too
    learned: int = 0  # without crowds
    # What the copy takes besides the file: sizes by the id's place in `keys`, new numbers, areas.
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    renumbers: bool = False
    fills_area: bool = False


def line(kind: str, count: int, first: str) -> str:
    """A finding in words: `kind` may end in a remedy, after a semicolon."""
    what, _, remedy = kind.partition('; ')
    return f'{count} {what}, first {first}' + (f'; {remedy}' if remedy else '')


def chosen_categories(file: CocoFile, use: Use) -> set[int]:
    """Keys of the categories that are used."""
    return {key for key, name in file.categories if not use.classes or name in use.classes}
