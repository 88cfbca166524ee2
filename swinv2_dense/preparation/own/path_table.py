"""A table of paths and labels: CSV, TSV, or lines `PATH LABEL`."""

from __future__ import annotations

import csv
import posixpath

from ...checks.image_files import IMAGE_SUFFIXES
from ...checks.video_files import VIDEO_SUFFIXES
from ...errors import ConfigError, truncate
from .found import Found, Sample
from .notes import Notes
from .source import Source, split_of, split_of_folders

PATHS = ('path', 'file', 'filename', 'file_name', 'filepath', 'image', 'img', 'video', 'clip')
LABELS = ('label', 'class', 'category', 'classname', 'class_name', 'target', 'action')
SPLIT_COLUMNS = ('split', 'set', 'subset', 'fold')
BOXES = ('xmin', 'x_min', 'x1', 'bbox_x', 'left')
SNIFFED = 20  # lines


def evidence(source: Source) -> str:
    files = [name for name in _tables(source) if _is_table(source, name)]
    return f'paths and labels in {truncate(files, 3)}' if files else ''


def read(source: Source, notes: Notes) -> Found:
    """A header is recognized by its names; without one, the columns are path and label.

    Raises:
        ConfigError: A file has no such columns, or the paths are of both images and videos.
    """
    files = [name for name in _tables(source) if _is_table(source, name)]
    samples: dict[str, Sample] = {}
    for name in files:
        rows = _rows(source, name)
        path, label, split, start = _columns(source, name, rows)
        for number, row in enumerate(rows[start:], start=start + 1):
            where = f'{name}, line {number}'
            if len(row) <= max(path, label) or not row[path].strip() or not row[label].strip():
                notes.fault('rows have no path or no label; fix or remove them', where)
                continue
            file = source.image(row[path], posixpath.dirname(name), notes, where)
            if file is None:
                continue
            given = split_of(row[split]) if 0 <= split < len(row) else ''
            found = Sample(
                source.path(file),
                given or split_of(name) or split_of_folders(file),
                label=row[label].strip(),
            )
            other = samples.setdefault(file, found)
            if other.label != found.label:
                notes.fault(
                    'files have two labels; keep one row', f'{file}: {other.label}, {found.label}'
                )
    listed = set(samples)
    is_video = {name.lower().endswith(VIDEO_SUFFIXES) for name in listed}
    if len(is_video) == 2:
        raise ConfigError(
            f'{source.root}: {truncate(files)} list images and videos; use two tables'
        )
    for name in source.videos if True in is_video else source.images:
        if name not in listed:
            notes.warn('files that the table does not list, left out', name)
    classes = sorted({sample.label for sample in samples.values()})
    target = 'clips' if True in is_video else 'images'
    return Found(f'table {truncate(files, 3)}', classes, list(samples.values()), (target,))


def _tables(source: Source) -> list[str]:
    return source.with_suffix('.csv', '.tsv', '.txt')


def _is_table(source: Source, name: str) -> bool:
    """Whether most of the first rows have paths, and the columns are known or two."""
    rows = [row for row in _rows(source, name, SNIFFED) if any(row)]
    fits = [len(row) >= 2 and any(map(_is_path, row)) for row in rows]
    if not rows or 2 * sum(fits) < len(rows):
        return False
    header = {cell.strip().lower() for cell in rows[0]}
    return len(rows[0]) == 2 or bool(header & {*LABELS, *BOXES})


def _is_path(cell: str) -> bool:
    return cell.strip().lower().endswith(IMAGE_SUFFIXES + VIDEO_SUFFIXES)


def _rows(source: Source, name: str, most: int | None = None) -> list[list[str]]:
    with source.path(name).open(encoding='utf-8-sig', errors='replace', newline='') as file:
        lines = [line for line, _ in zip(file, range(most or 2**62))]
    first = lines[0] if lines else ''
    delimiter = next((mark for mark in '\t;,' if mark in first), None)
    if delimiter is None:  # PATH LABEL
        return [line.split() and line.strip().rsplit(None, 1) for line in lines]
    return list(csv.reader(lines, delimiter=delimiter))


def _columns(source: Source, name: str, rows: list[list[str]]) -> tuple[int, int, int, int]:
    """Indices of path, label and split (-1: none), and of the first row of data."""
    header = [cell.strip().lower() for cell in rows[0]]
    if any(cell in BOXES for cell in header):
        raise ConfigError(
            f'{source.path(name)} has boxes, and tables of boxes differ in their columns; export '
            'COCO JSON or VOC instead'
        )
    path, label, split = (_first(header, names) for names in (PATHS, LABELS, SPLIT_COLUMNS))
    if path >= 0 and label >= 0:
        return path, label, split, 1
    if len(header) == 2 and _is_path(header[0]):
        return 0, 1, -1, 0
    raise ConfigError(
        f'{source.path(name)} has the columns {truncate(header)}; name them path and label, and '
        'split if there is one'
    )


def _first(header: list[str], names: tuple[str, ...]) -> int:
    return next((header.index(name) for name in names if name in header), -1)
