"""How an annotation file is used, and what the checks report about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .coco_file import CocoFile

MANY = 0.1  # of the objects; losing more without a reason in the config is an error


class Use(NamedTuple):
    """How a dataset uses an annotation file."""

    classes: tuple[str, ...] = ()  # empty: all
    is_filtered: bool = False  # by the next two fields; test datasets are not
    filter_empty: bool = False
    min_size: int = 0  # pixels
    indices: int | tuple[int, ...] | None = None
    is_evaluated: bool = False  # by pycocotools, which reads more of an annotation
    with_masks: bool = False
    needs_objects: bool = True
    folder: str | None = None  # of the images; None: images are not read
    is_rotated: bool | None = None  # by EXIF; None: sizes are not compared
    depth: int = 0  # components of file_name to keep; 0: all


@dataclass
class Report:
    """What was found; lines continue after the name of the file."""

    errors: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)  # made in a repaired copy
    notes: list[str] = field(default_factory=list)
    counts: str = ''
    listed: int = 0
    kept: int = 0  # in mmdet's dataset, including crowds
    learned: int = 0  # without crowds
    most: int = 0  # learned of one image
    # Input of the copy besides the file: sizes by the index of an id in `keys`, new ids, areas.
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    renumbers: bool = False
    fills_area: bool = False


def line(kind: str, count: int, first: str) -> str:
    """A finding as text; `kind` may end in a remedy, after a semicolon."""
    what, _, remedy = kind.partition('; ')
    return f'{count} {what}, first {first}' + (f'; {remedy}' if remedy else '')


def chosen_categories(file: CocoFile, use: Use) -> set[int]:
    """Keys of the categories that are used."""
    return {key for key, name in file.categories if not use.classes or name in use.classes}
