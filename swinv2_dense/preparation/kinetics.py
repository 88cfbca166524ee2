"""Kinetics-400, -600 and -700: write list files for mmaction2 from the official CSV files.

Missing and broken videos are omitted from the lists; many were removed from YouTube.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..atomic_files import write_bytes
from ..errors import ConfigError
from .images import File, FileError, check_files
from .report import ReportRow
from .videos import check_video, resize

SPLITS = ('train', 'val', 'test')
ARCHIVES = {f'{split}/part_*.tar.gz': f'videos_{split}' for split in SPLITS} | {
    f'annotations/{name}.csv': 'annotations' for name in ('train', 'val', 'validate', 'test')
}
SIZES = (400, 600, 700)  # numbers of classes of the releases
COLUMNS = ('youtube_id', 'time_start', 'time_end')  # and label, optional in a test set
GONE = 'missing, omitted from the list'
HIDING = "has hidden frames, which mmaction2's DecordInit counts; use VideoInit"


class Row(NamedTuple):
    """A clip in a CSV file; times in seconds."""

    label: str
    id: str
    start: int
    end: int

    @property
    def stems(self) -> tuple[str, ...]:
        """File names that downloaders use for the clip, without suffix."""
        padded = f'{self.id}_{self.start:06d}_{self.end:06d}'
        return padded, f'{self.id}_{self.start}_{self.end}', self.id


def check(root: Path, workers: int) -> list[ReportRow]:
    """Check the videos and write `kinetics400_{train,val,test}_list_videos.txt` and the label map.

    Labels number the classes in alphabetical order, as in Kinetics' label maps. List files cannot
    contain spaces, so class folders with spaces get a link with underscores next to them.

    Raises:
        ConfigError: There is no CSV file, or one does not have Kinetics' format.
    """
    tables = {split: table for split in SPLITS if (table := _read(root, split)) is not None}
    if not tables:
        raise ConfigError(f'{root}/annotations has no train.csv, val.csv or test.csv of Kinetics')
    classes = sorted({row.label for rows in tables.values() for row in rows if row.label})
    name = f'kinetics{len(classes)}'
    write_lines(root / f'{name}_label_map.txt', classes)
    listed = ReportRow(f'{name}_label_map.txt', 'classes', len(classes))
    if len(classes) not in SIZES:
        listed.warn('not the number of classes of a release', f'{len(classes)}, not {SIZES}')
    return [listed] + [
        part
        for split, rows in tables.items()
        for part in _check_split(root, split, rows, classes, workers)
    ]


def resize_videos(root: Path, side: int, workers: int) -> list[ReportRow]:
    """Smaller copies of the listed videos in `videos_{split}_{side}`, see `videos.resize`."""
    parts = []
    for split in SPLITS:
        for path in sorted(root.glob(f'kinetics*_{split}_list_videos.txt')):
            names = [line.split()[0] for line in path.read_text().splitlines()]
            part = ReportRow(f'videos_{split}_{side}', 'videos')
            resize(part, root / f'videos_{split}', names, root / part.name, side, workers)
            parts.append(part)
    return parts


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Replace a text file atomically."""
    write_bytes(path, ''.join(f'{line}\n' for line in lines).encode())


def _read(root: Path, split: str) -> list[Row] | None:
    found = sorted((root / 'annotations').glob(f'*{split}*.csv'))
    if len(found) > 1:
        raise ConfigError(f'{found[0]} and {found[1]} are both for {split}; move one away')
    if not found:
        return None
    with found[0].open(newline='') as file:
        table = csv.DictReader(file)
        try:
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            rows = list(table)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ConfigError(f'{found[0]} is not a CSV file: {error}') from error
    if missing:
        raise ConfigError(f'{found[0]} lacks the columns {missing}; download the official file')
    return [_row(found[0], number, cells) for number, cells in enumerate(rows, 2)]


def _row(path: Path, number: int, cells: dict) -> Row:
    try:
        start, end = (int(float(cells[key])) for key in ('time_start', 'time_end'))
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f'{path}, line {number}: times are not numbers: {cells}') from error
    if not cells['youtube_id']:
        raise ConfigError(f'{path}, line {number}: youtube_id is empty')
    return Row((cells.get('label') or '').strip(), cells['youtube_id'], start, end)


def _check_split(
    root: Path, split: str, rows: Sequence[Row], classes: Sequence[str], workers: int
) -> list[ReportRow]:
    folder = root / f'videos_{split}'
    files = dict(_videos(folder))
    names = [next((files[s] for s in row.stems if s in files), None) for row in rows]
    part = ReportRow(folder.name, 'videos')
    broken = _check_videos(part, folder, [name for name in names if name], workers)
    part.expected = len(rows)
    label_of = {label: str(i) for i, label in enumerate(classes)}
    lines, left_out = [], []
    for row, name in zip(rows, names):
        if name is None:
            part.warn(GONE, row.stems[0])
            left_out.append(f'{row.stems[0]}\tmissing')
        elif name in broken:
            left_out.append(f'{name}\t{broken[name]}')
        else:
            lines.append(' '.join(filter(None, [name, label_of.get(row.label)])))
            _compare_folder(part, name, row, label_of)
    for name in sorted(set(files.values()) - set(names)):
        part.warn('not in the CSV file', name)
    if not lines:
        part.fault('no intact video of the CSV file', str(folder))
    return [part, *_write(root, f'kinetics{len(classes)}_{split}', lines, left_out)]


def _check_videos(
    part: ReportRow, folder: Path, names: Sequence[str], workers: int
) -> dict[str, str]:
    """The problems of broken videos; they are warnings, since the list omits these videos."""
    broken: dict[str, str] = {}
    hidden: dict[str, int] = {}

    def check(path: Path, file: File) -> None:
        try:
            hidden[file.name] = check_video(path, file)
        except FileError as fault:
            broken[file.name] = ': '.join(filter(None, fault.args))
            raise

    check_files(part, folder, [File(name, 0, 0) for name in names], check, workers)
    part.found = len(names) - len(broken)
    part.warnings |= {f'{kind}, omitted from the list': f for kind, f in part.faults.items()}
    part.faults = {}
    for name in names:
        if hidden.get(name):
            part.warn(HIDING, f'{name}: {hidden[name]}')
    return broken


def _write(root: Path, name: str, lines: list[str], left_out: list[str]) -> Iterator[ReportRow]:
    yield _written(root / f'{name}_list_videos.txt', lines)
    if left_out:
        yield _written(root / f'{name}_left_out.txt', left_out)


def _written(path: Path, lines: list[str]) -> ReportRow:
    write_lines(path, lines)
    return ReportRow(path.name, 'lines', len(lines))


def _compare_folder(part: ReportRow, name: str, row: Row, label_of: dict[str, str]) -> None:
    """Report a clip in the folder of another class; folders may use underscores for spaces."""
    parent = Path(name).parent.name
    known = {label.replace(' ', '_') for label in label_of}
    if row.label and parent in known and parent != row.label.replace(' ', '_'):
        part.warn('in the folder of another class than in the CSV file', f'{name}: {row.label}')


def _videos(folder: Path) -> Iterator[tuple[str, str]]:
    """Stem and path below `folder` of each file; paths have no spaces."""
    for directory, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in sorted(folders) if not _is_own_link(directory, name)]
        for name in folders:
            _link(Path(directory), name)
        below = str(Path(directory).relative_to(folder)).replace(' ', '_')
        for name in sorted(names):
            if not name.startswith('.'):
                yield Path(name).stem, os.path.normpath(os.path.join(below, name))


def _is_own_link(directory: str, name: str) -> bool:
    path = os.path.join(directory, name)
    return os.path.islink(path) and os.readlink(path) in os.listdir(directory)


def _link(directory: Path, name: str) -> None:
    link = directory / name.replace(' ', '_')
    if ' ' in name and not os.path.lexists(link):
        link.symlink_to(name, target_is_directory=True)
    elif ' ' in name and not _is_own_link(str(directory), link.name):
        raise ConfigError(f'{directory} has both {name!r} and {link.name!r}; merge the folders')
