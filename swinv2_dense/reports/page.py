"""One self-contained HTML page from plain data.

    Page -> JSON in the page -> charts.js, gallery.js -> DOM

The page opens from disk, without a server or the network. Text from data is never parsed as HTML:
JSON escapes `<`, and the scripts only create text nodes.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from ..atomic_files import replacing
from ..errors import ConfigError
from .thumbnails import EMBEDDED_BYTES, Thumbnail

HERE = Path(__file__).parent


@dataclass
class Numbers:
    """A row of large numbers, each a dict of `name`, `value` (None if undefined) and `digits`."""

    title: str
    items: list[dict]
    note: str = ''
    kind: str = 'numbers'


@dataclass
class Table:
    """A table that readers sort by any column.

    Args:
        columns: Dicts of `name`, `kind` ('text', 'number' or 'bar' for 0 to 1) and `digits`.
        rows: Text, numbers, or None where a value is undefined.
    """

    title: str
    columns: list[dict]
    rows: list[list]
    note: str = ''
    kind: str = 'table'


@dataclass
class Bars:
    """Horizontal bars, each a dict of `name`, `value` and `note`."""

    title: str
    items: list[dict]
    digits: int = 3
    note: str = ''
    kind: str = 'bars'


@dataclass
class Lines:
    """Curves with a legend that turns them on and off.

    Args:
        x, y: Axes, dicts of `name`, `min` and `max`.
        series: Dicts of `name`, `points` (pairs) and, optionally, `mark` (a pair).
        shown: The first curves, which are on at the start.
    """

    title: str
    x: dict
    y: dict
    series: list[dict]
    shown: int = 6
    note: str = ''
    kind: str = 'lines'


@dataclass
class Matrix:
    """Counts by row (N names) and column (M names), colored by their part of the row."""

    title: str
    rows: list[str]
    columns: list[str]
    counts: list[list[int]]
    row_title: str = 'truth'
    column_title: str = 'prediction'
    note: str = ''
    kind: str = 'matrix'


@dataclass
class Shape:
    """An object in a picture: a box (x, y, w, h) and polygons [x0, y0, x1, y1, ...] in pixels."""

    box: list[float]
    color: str
    text: str
    score: float | None = None
    wrong: bool = False
    polygons: list[list[float]] = field(default_factory=list)


@dataclass
class Panel:
    """One of the pictures of an item, side by side; `picture` defaults to that of the item."""

    title: str
    picture: Thumbnail | None = None
    overlay: Thumbnail | None = None
    shapes: list[Shape] | None = None


@dataclass
class Item:
    """A sample in a gallery.

    Args:
        picture: What the panels show.
        width, height: Size of the coordinate system of shapes.
        caption: Usually the file name; readers search in it.
        findings: Pairs of a class and an error, for the filters.
    """

    picture: Thumbnail
    width: int
    height: int
    caption: str
    panels: list[Panel]
    lines: list[str] = field(default_factory=list)
    findings: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Gallery:
    """Pictures with filters by class, error, file name and, if `threshold` is given, score."""

    title: str
    items: list[Item]
    classes: list[str]
    errors: list[str]
    threshold: float | None = None
    note: str = ''
    kind: str = 'gallery'


@dataclass
class Page:
    """A report: pairs of facts at the top, and blocks in order."""

    title: str
    facts: list[tuple[str, str]]
    blocks: list[Any]


def write_page(page: Page, folder: Path, files: Mapping[str, bytes] | None = None) -> Path:
    """Write FOLDER/index.html, and FOLDER/thumbnails if the pictures are too large for one file.

    The folder is replaced as a whole: a page never refers to the pictures of another one.

    Args:
        files: More files by name.

    Raises:
        ConfigError: The folder exists and holds something that is not a report.
    """
    folder = check_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as draft:
        draft.mkdir()
        apart = sum(len(picture.content) for picture in _thumbnails(page)) > EMBEDDED_BYTES
        if apart:
            _write_thumbnails(page, draft / 'thumbnails')
        text = json.dumps(asdict(page, dict_factory=_plain), ensure_ascii=False, allow_nan=False)
        parts = {name: (HERE / f'{name}.js').read_text() for name in ('charts', 'gallery')}
        content = Template((HERE / 'page.html').read_text()).substitute(
            parts,
            title=html.escape(page.title),
            style=(HERE / 'page.css').read_text(),
            script=(HERE / 'page.js').read_text(),
            # Neither </script> nor <!-- may occur in a script element.
            data=text.replace('<', '\\u003c'),
        )
        (draft / 'index.html').write_text(content, encoding='utf-8')
        for name, extra in (files or {}).items():
            (draft / name).write_bytes(extra)
        _remove_old(folder)
    return folder / 'index.html'


def check_folder(folder: Path) -> Path:
    """The folder of a report, if it is free or holds an older report.

    Raises:
        ConfigError: It holds something else.
    """
    if folder.exists():
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
        if names - {'index.html', 'thumbnails', 'records.json'}:
            raise ConfigError(
                f'{folder} holds {sorted(names)[0]}, which is not part of a report: name a new '
                'folder, or delete it'
            )
    return folder


def _remove_old(folder: Path) -> None:
    import shutil

    if folder.is_dir():
        shutil.rmtree(folder)  # renaming cannot replace a folder with files


def _plain(pairs: Sequence[tuple[str, Any]]) -> dict:
    return {key: value.source if isinstance(value, Thumbnail) else value for key, value in pairs}


def _thumbnails(page: Page) -> Iterator[Thumbnail]:
    for block in page.blocks:
        for item in getattr(block, 'items', []):
            if isinstance(item, Item):
                yield item.picture
                for panel in item.panels:
                    yield from (part for part in (panel.picture, panel.overlay) if part)


def _write_thumbnails(page: Page, folder: Path) -> None:
    folder.mkdir()
    for index, picture in enumerate(_thumbnails(page)):
        name = f'{index:05d}.{picture.suffix}'
        (folder / name).write_bytes(picture.content)
        picture.file = f'thumbnails/{name}'
