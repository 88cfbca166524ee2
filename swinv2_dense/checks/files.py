"""Which of many files exist, by listing their folders once instead of asking for each file.

On network storage each question is a round trip to a metadata server that all jobs share; a listing
brings the names of a whole folder.
"""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mmengine.dist import all_gather_object, get_rank

from ..errors import ConfigError


def missing_files(paths: Iterable[str]) -> list[str]:
    """The files that do not exist, each once, in the order given.

    The processes of a run on one machine list a part of the folders each, and tell each other; all
    processes must call this with the same paths. Folders are listed on each machine, as they may
    lie on its own disk.
    """
    position, count = _place_on_this_machine()
    numbers: dict[str, int] = {}  # of folders
    own: dict[str, dict[str, int]] = defaultdict(dict)  # indices by folder and name
    for index, path in enumerate(paths):
        folder, name = os.path.split(path)
        if numbers.setdefault(folder, len(numbers)) % count == position:
            own[folder].setdefault(name, index)
    missing = {
        index: os.path.join(folder, name)
        for folder, names in own.items()
        for name, index in _missing_in(folder, names).items()
    }
    for part in all_gather_object(missing):
        missing.update(part)
    return [missing[index] for index in sorted(missing)]


def files_below(folder: str, leave_out: Collection[str] = (), prefix: str = '') -> Iterator[str]:
    """Paths of files below a folder, at any depth, relative to it; without hidden ones.

    Args:
        leave_out: Folders that are not searched, whatever path or link leads to them.

    Raises:
        ConfigError: A folder cannot be listed.
    """
    here = os.path.join(folder, prefix)
    try:
        with os.scandir(here) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ConfigError(f'folder {here!r} cannot be listed: {error.strerror}') from error
    for entry in found:  # the kind of an entry comes with the listing, but for links
        if entry.name.startswith('.'):
            continue
        name, is_link = os.path.join(prefix, entry.name), entry.is_symlink()
        if os.path.isdir(entry.path) if is_link else entry.is_dir():
            is_loop = is_link and is_within(here, entry.path)
            if not is_loop and not any(os.path.samefile(entry.path, other) for other in leave_out):
                yield from files_below(folder, leave_out, name)
        elif os.path.isfile(entry.path) if is_link else entry.is_file():
            yield name


def is_within(path: str, folder: str) -> bool:
    """Whether `path` is an existing folder or lies below it, whatever links lead there."""
    real = Path(os.path.realpath(path))
    return any(p.exists() and os.path.samefile(p, folder) for p in (real, *real.parents))


def _place_on_this_machine() -> tuple[int, int]:
    """The position of this process among those of its run on this machine, and their number."""
    machines = all_gather_object(socket.gethostname())
    rank = get_rank()
    return machines[:rank].count(machines[rank]), machines.count(machines[rank])


def _missing_in(folder: str, names: dict[str, int]) -> dict[str, int]:
    """Those of `names` that are not in the folder."""
    left = dict(names)
    try:
        with os.scandir(folder or '.') as entries:
            for entry in entries:
                # The listing tells a link's name even where its target is gone.
                if entry.name in left and (not entry.is_symlink() or os.path.exists(entry.path)):
                    del left[entry.name]
                if not left:
                    break
    except (FileNotFoundError, NotADirectoryError):
        return left
    except OSError:  # it may be entered but not listed
        pass
    # File systems that ignore case or change Unicode list other names than they accept.
    return {
        name: index
        for name, index in left.items()
        if not os.path.exists(os.path.join(folder, name))
    }
