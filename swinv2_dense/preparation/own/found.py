"""What readers return, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

SPLITS = ('train', 'val', 'test')
TARGETS = ('boxes', 'masks', 'maps', 'clips', 'images')
Box = tuple[float, float, float, float]  # x, y, width, height in pixels


@dataclass(slots=True)
class Object:
    """An annotated object.

    Coordinates are continuous pixels of the image as annotated: (0, 0) is the corner of the first
    pixel.
    """

    label: str
    where: str  # file and entry, for messages
    box: Box | None = None
    polygons: list[list[float]] | None = None  # x, y, x, y, ...
    rle: dict | None = None  # COCO's, of the annotated size
    is_crowd: bool = False  # a region to ignore

    @property
    def has_mask(self) -> bool:
        return bool(self.polygons or self.rle)


@dataclass(slots=True)
class Sample:
    """An image or a video and what is annotated in it."""

    path: Path
    split: str = ''  # of SPLITS, if the folder has splits
    size: tuple[int, int] | None = None  # width and height that the annotations state
    objects: list[Object] = field(default_factory=list)
    label_map: Path | None = None
    label: str = ''  # of the whole image or video
    loaded: tuple[int, int] = (0, 0)  # width and height as a loader returns it, see `audit`
    drops_rotation: bool = False  # whether its EXIF orientation must be removed
    bands: int = 0  # as `LoadBands` reads it, if it is used


@dataclass
class Found:
    """A dataset as read.

    Attributes:
        text: One line about the format, for the report.
        classes: In the order of the format, otherwise sorted.
        ids: (id in the files, index of the class) for label maps; colors are r << 16 | g << 8 | b.
        targets: What can be made of it, the default first.
    """

    text: str
    classes: list[str]
    samples: list[Sample]
    targets: tuple[str, ...]
    ids: dict[int, int] = field(default_factory=dict)
    is_painted: bool = False  # label maps hold colors
    reads_bands: bool = False  # images are read by `LoadBands`
