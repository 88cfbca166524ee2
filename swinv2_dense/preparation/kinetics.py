"""Kinetics-400, -600 and -700: list files for mmaction2 from the official CSV files and the videos.

Videos that are missing or broken are left out of the lists; many are gone from YouTube.
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
from .report import Part
from .videos import check_video, resize

SPLITS = ('train', 'val', 'test')
ARCHIVES = {f'{split}/part_*.tar.gz': f'videos_{split}' for split in SPLITS} | {
    f'annotations/{name}.csv': 'annotations' for name in ('train', 'val', 'validate', 'test')
}
SIZES = (400, 600, 700)  # numbers of classes of the releases
COLUMNS = ('youtube_id', 'time_start', 'time_end')  # and label, which a test set may lack
GONE = 'missing, left out of the list'
HIDING = "hides frames, which mmaction2's DecordInit counts; use VideoInit"


class Row(NamedTuple):
    """A clip of a CSV file; times in seconds."""

    label: str
    id: str
    start: int
    end: int

    @property
    def stems(self) -> tuple[str, ...]:
        """Names that downloaders give to the clip, without ending."""
        padded = f'{self.id}_{self.start:06d}_{self.end:06d}'
        return padded, f'{self.id}_{self.start}_{self.end}', self.id


def check(root: Path, workers: int) -> list[Part]:
    """Check the videos and write `kinetics400_{train,val,test}_list_videos.txt` and the label map.

    A label is the place of the class in alphabetical order, as in Kinetics' label maps. Class
    folders with spaces, which a list file cannot hold, get a link with underscores beside them.

    Raises:
        ConfigError: There is no CSV file, or one is not of Kinetics' form.
    """
    tables = {split: table for split in SPLITS if (table := _read(root, split)) is not None}
    if not tables:
        raise ConfigError(f'{root}/annotations has no train.csv, val.csv or test.csv of Kinetics')
    classes = sorted({row.label for rows in tables.values() for row in rows if row.label})
    name = f'kinetics{len(classes)}'
    write_lines(root / f'{name}_label_map.txt', classes)
    listed = Part(f'{name}_label_map.txt', 'classes', len(classes))
    if len(classes) not in SIZES:
        listed.warn('not the number of classes of a release', f'{len(classes)}, not {SIZES}')
    return [listed] + [
        part
        for split, rows in tables.items()
        for part in _check_split(root, split, rows, classes, workers)
    ]


def resize_videos(root: Path, side: int, workers: int) -> list[Part]:
    """Smaller copies of the listed videos in `videos_{split}_{side}`, see `videos.resize`."""
    parts = []
    for split in SPLITS:
        for path in sorted(root.glob(f'kinetics*_{split}_list_videos.txt')):
            names = [line.split()[0] for line in path.read_text().splitlines()]
            part = Part(f'videos_{split}_{side}', 'videos')
            resize(part, root / f'videos_{split}', names, root / part.name, side, workers)
            parts.append(part)
    return parts


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Replace a text file atomically."""
    write_bytes(path, ''.join(f'{line}\n' for line in lines).encode())


def _read(root: Path, split: str) -> list[Row] | None:
    found = sorted((root / 'annotations').glob(f'*{split}*.csv'))
    if len(found) > 1:
        raise ConfigError(f'{found[0]} and {found[1]} are both of {split}; move one elsewhere')
    if not found:
        return None
    with found[0].open(newline='') as file:
        table = csv.DictReader(file)
        try:
            missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
            rows = list(table)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ConfigError(f'{found[0]} is no CSV file: {error}') from error
    if missing:
        raise ConfigError(f'{found[0]} lacks the columns {missing}; fetch the official file')
    return [_row(found[0], number, cells) for number, cells in enumerate(rows, 2)]


def _row(path: Path, number: int, cells: dict) -> Row:
    try:
        start, end = (int(float(cells[key])) for key in ('time_start', 'time_end'))
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f'{path}, line {number}: the times are no numbers: {cells}') from error
    if not cells['youtube_id']:
        raise ConfigError(f'{path}, line {number}: youtube_id is empty')
    return Row((cells.get('label') or '').strip(), cells['youtube_id'], start, end)


def _check_split(
    root: Path, split: str, rows: Sequence[Row], classes: Sequence[str], workers: int
) -> list[Part]:
    folder = root / f'videos_{split}'
    files = dict(_videos(folder))
    names = [next((files[s] for s in row.stems if s in files), None) for row in rows]
    part = Part(folder.name, 'videos')
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
        part.fault('no video of the CSV file is there and whole', str(folder))
    return [part, *_write(root, f'kinetics{len(classes)}_{split}', lines, left_out)]


def _check_videos(part: Part, folder: Path, names: Sequence[str], workers: int) -> dict[str, str]:
    """What is wrong with each broken video; a warning, as the list does without it."""
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
    part.warnings |= {f'{kind}, left out of the list': f for kind, f in part.faults.items()}
    part.faults = {}
    for name in names:
        if hidden.get(name):
            part.warn(HIDING, f'{name}: {hidden[name]}')
    return broken


def _write(root: Path, name: str, lines: list[str], left_out: list[str]) -> Iterator[Part]:
    yield _written(root / f'{name}_list_videos.txt', lines)
    if left_out:
        yield _written(root / f'{name}_left_out.txt', left_out)


def _written(path: Path, lines: list[str]) -> Part:
    write_lines(path, lines)
    return Part(path.name, 'lines', len(lines))


def _compare_folder(part: Part, name: str, row: Row, label_of: dict[str, str]) -> None:
    """A clip in the folder of another class; folders may have underscores for spaces."""
    parent = Path(name).parent.name
    known = {label.replace(' ', '_') for label in label_of}
    if row.label and parent in known and parent != row.label.replace(' ', '_'):
        part.warn('in the folder of another class than the CSV file says', f'{name}: {row.label}')


def _videos(folder: Path) -> Iterator[tuple[str, str]]:
    """Stem and path below `folder` of each file, by paths without spaces."""
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
        raise ConfigError(f'{directory} has both {name!r} and {link.name!r}; join the folders')
