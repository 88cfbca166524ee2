"""Find missing files by listing each folder once instead of stat-ing every file.

On network storage each stat is a round trip to a metadata server that all jobs share; a listing
returns the names of a whole folder.
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
    """The files that do not exist, without duplicates, in the given order.

    The processes of a run on one machine share the folders among them and exchange the results; all
    processes must call this with the same paths. Every machine lists all folders, since they may be
    on its local disk.
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
    """Relative paths of all files below a folder, without hidden ones.

    Args:
        leave_out: Folders to skip, whatever path or link leads to them.

    Raises:
        ConfigError: A folder cannot be listed.
    """
    here = os.path.join(folder, prefix)
    try:
        with os.scandir(here) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ConfigError(f'folder {here!r} cannot be listed: {error.strerror}') from error
    for entry in found:  # the listing includes the kind of each entry, except behind links
        if entry.name.startswith('.'):
            continue
        name, is_link = os.path.join(prefix, entry.name), entry.is_symlink()
        if os.path.isdir(entry.path) if is_link else entry.is_dir():
            is_loop = is_link and is_within(here, entry.path)
            if not is_loop and not any(os.path.samefile(entry.path, other) for other in leave_out):
                yield from files_below(folder, leave_out, name)
        elif os.path.isfile(entry.path) if is_link else entry.is_file():
            yield name


def names_in(folder: str) -> list[str]:
    """Sorted names of the files and folders in a folder.

    Raises:
        ConfigError: It cannot be listed.
    """
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise ConfigError(f'folder {folder!r} cannot be listed: {error.strerror}') from error


def is_within(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it, with links resolved."""
    real = Path(os.path.realpath(path))
    return any(p.exists() and os.path.samefile(p, folder) for p in (real, *real.parents))


def _place_on_this_machine() -> tuple[int, int]:
    """The index of this process among those of the run on this machine, and their number."""
    machines = all_gather_object(socket.gethostname())
    rank = get_rank()
    return machines[:rank].count(machines[rank]), machines.count(machines[rank])


def _missing_in(folder: str, names: dict[str, int]) -> dict[str, int]:
    """Those of `names` that are not in the folder."""
    left = dict(names)
    try:
        with os.scandir(folder or '.') as entries:
            for entry in entries:
                # A link is listed even if its target is gone.
                if entry.name in left and (not entry.is_symlink() or os.path.exists(entry.path)):
                    del left[entry.name]
                if not left:
                    break
    except (FileNotFoundError, NotADirectoryError):
        return left
    except OSError:  # readable but not listable
        pass
    # Case-insensitive and Unicode-normalizing file systems list other names than they accept.
    return {
        name: index
        for name, index in left.items()
        if not os.path.exists(os.path.join(folder, name))
    }


FILE_KEYS = ('img_path', 'seg_map_path', 'filename')  # the last is mmaction2's


@HOOKS.register_module()
class CheckFilesHook(Hook):
    """Check that all images, label maps and videos exist, before the first iteration.

    Raises:
        ConfigError: Files are missing; gives their number and the first one.
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
                f'{name}: {len(missing)} images have no label map, first {missing[0][1]}. Add the '
                'maps, or remove the images from the dataset (from ann_file if it has one). Check '
                'data_root and data_prefix.'
            )
        raise ConfigError(
            f'{name}: {len(missing)} annotated files do not exist, first {missing[0][1]}. Check '
            'data_root, data_prefix and ann_file of the dataset, and that it is complete.'
        )


def _files(dataset: Any) -> Iterator[tuple[str, str]]:
    """The local files of a dataset, each with its key in FILE_KEYS."""
    for part in leaf_datasets(dataset):
        if not hasattr(part, 'get_data_info') or not is_local(getattr(part, 'backend_args', None)):
            continue
        for index in range(len(part)):
            info = part.get_data_info(index)
            for key in FILE_KEYS:
                path = info.get(key)
                if isinstance(path, str) and '://' not in path:
                    yield key, path
