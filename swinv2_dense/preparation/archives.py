"""Unpack archives below a folder: never outside it, never over a file, and atomically per file.

All members of a zip are checked before the first is written. A tar has no table of contents: at an
unsafe member unpacking stops, after earlier members were written.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from ..atomic_files import replacing
from ..errors import ConfigError
from .report import ReportRow, progress

CHUNK = 1 << 20  # bytes
# zipfile raises RuntimeError for encrypted members and unsupported compressions.
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    RuntimeError,
)


def unpack(folder: Path, root: Path, table: Mapping[str, str]) -> list[ReportRow]:
    """Unpack all archives of a dataset in `folder`.

    Args:
        folder: Contains the archives: .zip, .tar.gz, and single files, which are copied.
        root: Folder of the dataset; created if necessary.
        table: Maps a glob below `folder` to the folder below `root` for the members.

    Returns:
        A row per archive with the number of its files that exist afterwards. An existing file with
        other content is kept and reported as an error.

    Raises:
        ConfigError: There are no archives, one is broken, has another format or would write outside
            its folder, there is too little space, or a file cannot be written.
    """
    sources = {path: root / target for path, target in _find(folder, root, table).items()}
    root.mkdir(parents=True, exist_ok=True)
    needed = sum(_bytes_to_write(path, target) for path, target in sources.items())
    free = shutil.disk_usage(root).free
    if needed > free:
        raise ConfigError(
            f'--root={root}: unpacking needs {needed / 2**30:.1f} GiB, but only '
            f'{free / 2**30:.1f} GiB are free'
        )
    return [_unpack(path, target, path.relative_to(folder)) for path, target in sources.items()]


def _find(folder: Path, root: Path, table: Mapping[str, str]) -> dict[Path, str]:
    if not folder.is_dir():
        raise ConfigError(f'--archives={folder}: there is no such folder')
    found = {path: table[glob] for glob in table for path in sorted(folder.glob(glob))}
    if not found:
        raise ConfigError(f'--archives={folder} contains none of {", ".join(table)}')
    unpacked = {root / target for target in table.values() if target}
    for glob in table:
        for path in sorted(folder.glob(f'{glob.partition(".")[0]}.*')):
            if path.is_file() and path not in found and unpacked.isdisjoint(path.parents):
                raise ConfigError(
                    f'{path}: the archive of this dataset is named {glob}; finish the download, or '
                    'move the file away'
                )
    return found


def _bytes_to_write(path: Path, target: Path) -> int:
    """Exact for a zip; a lower bound for a tar, whose content is unknown until it is unpacked."""
    if path.suffix != '.zip':
        present = any(target.glob(path.name.partition('.')[0] + '*'))
        return 0 if present else path.stat().st_size
    with _naming(path), zipfile.ZipFile(path) as archive:
        places = [(info, _place(path, info.filename, target)) for info in _files(path, archive)]
        return sum(info.file_size for info, place in places if not os.path.lexists(place))


def _unpack(path: Path, target: Path, name: Path) -> ReportRow:
    part = ReportRow(str(name), 'files', expected=0)
    with _naming(path):
        total = len(zipfile.ZipFile(path).infolist()) if path.suffix == '.zip' else None
        for member, stream in progress(_members(path), str(name), total):
            place = _place(path, member, target)
            part.expected += 1
            if not os.path.lexists(place):
                _write(stream, place)
            elif not _is_equal(stream, place):
                part.fault('differs from the existing file, which was kept', str(place))
                continue
            part.found += 1
    return part


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the name of the archive to errors that are raised while it is read."""
    try:
        yield
    except BROKEN as error:
        raise ConfigError(
            f'{path} is broken or has another format: {error}. Download it again.'
        ) from error
    except OSError as error:
        raise ConfigError(f'{path} cannot be unpacked: {error}') from error


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of the files of an archive, in its order."""
    if path.suffix == '.zip':
        with zipfile.ZipFile(path) as archive:
            for info in _files(path, archive):
                with archive.open(info) as stream:
                    yield info.filename, stream
    elif path.suffix == '.gz':
        # Stream mode: otherwise tarfile seeks back by a byte, for which gzip starts over.
        with gzip.open(path) as tar, tarfile.open(fileobj=tar, mode='r|', bufsize=CHUNK) as archive:
            for member in archive:
                if member.isfile():
                    yield member.name, archive.extractfile(member)
                elif not member.isdir():
                    raise _refusal(path, member.name, 'is a link or a device, not a file')
            while tar.read(CHUNK):  # gzip verifies its checksum at the end
                pass
    else:
        with path.open('rb') as stream:
            yield path.name, stream


def _files(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    files = [info for info in archive.infolist() if not info.is_dir()]
    for info in files:
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _refusal(path, info.filename, 'is a link')
    return files


def _place(path: Path, name: str, target: Path) -> Path:
    """The path for a member; its folder may be a link created by the user."""
    parts = PurePosixPath(name).parts
    if name.startswith('/') or '..' in parts or not parts:
        raise _refusal(path, name, f'is outside {target}')
    return target.joinpath(*parts)


def _refusal(path: Path, name: str, reason: str) -> ConfigError:
    return ConfigError(f'{path}: its member {name!r} {reason} and is not unpacked')


def _write(stream: IO[bytes], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place, durable=False) as draft, draft.open('xb') as file:
        shutil.copyfileobj(stream, file, CHUNK)


def _is_equal(stream: IO[bytes], place: Path) -> bool:
    if not place.is_file():
        return False
    with place.open('rb') as file:
        while chunk := stream.read(CHUNK):
            if file.read(len(chunk)) != chunk:
                return False
        return not file.read(1)
