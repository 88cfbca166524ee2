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
from typing import Any

from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ..config_parts import is_local, leaf_datasets
from ..errors import ConfigError
from ..shared_errors import shared_errors


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


FILE_KEYS = ('img_path', 'seg_map_path', 'filename')  # of mmdet and mmseg; of mmaction2


@HOOKS.register_module()
class CheckFilesHook(Hook):
    """Look for every image, map and video of the data sets before the first iteration.

    Raises:
        ConfigError: Files are missing; says how many, and names the first.
    """

    def before_train(self, runner: Any) -> None:
        check_files('train_dataloader', runner.train_loop.dataloader.dataset)
        if runner.val_loop is not None:
            check_files('val_dataloader', runner.val_loop.dataloader.dataset)

    def before_test(self, runner: Any) -> None:
        check_files('test_dataloader', runner.test_loop.dataloader.dataset)


def check_files(name: str, dataset: Any) -> None:
    """Raise a `ConfigError` if local files that `dataset` lists do not exist.

    All processes of a run must call this together, and all raise the error.
    """
    with shared_errors():
        paths = [path for _, path in _files(dataset)]
    found = set(missing_files(paths))
    missing = [(key, path) for key, path in _files(dataset) if path in found] if found else []
    if missing:
        if all(key == 'seg_map_path' for key, _ in missing):
            raise ConfigError(
                f'{name}: {len(missing)} images have no label map, first {missing[0][1]}. Write '
                'it, or take its image out of the data set (of ann_file where there is one). Check '
                'data_root and data_prefix.'
            )
        message = (
            f'{name}: {len(missing)} files that the annotations list do not exist, first '
            f'{missing[0][1]}. Check data_root, data_prefix and ann_file of the data set, and that '
            'it is complete.'
        )
        raise ConfigError(message)


def _files(dataset: Any) -> Iterator[tuple[str, str]]:
    """The local files of a data set, each with its key in FILE_KEYS."""
    for part in leaf_datasets(dataset):
        if not hasattr(part, 'get_data_info') or not is_local(getattr(part, 'backend_args', None)):
            continue
        for index in range(len(part)):
            info = part.get_data_info(index)
            for key in FILE_KEYS:
                path = info.get(key)
                if isinstance(path, str) and '://' not in path:
                    yield key, path
