"""Find images that two splits share."""

from __future__ import annotations

import filecmp
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

COMPARED = 20_000  # images in both splits; above that, contents are not compared
TAIL = 4096  # bytes; they differ for most files of equal size


def shared_images(first: Sequence[str], second: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of identical files: by resolved path or, up to `COMPARED` images, by content."""
    folders: dict[str, str] = {}
    by_path = {_resolved(path, folders): path for path in first}
    pairs = {
        path: by_path[real] for path in second if (real := _resolved(path, folders)) in by_path
    }
    if len(first) + len(second) <= COMPARED:
        by_size: dict[int, list[str]] = defaultdict(list)
        for path in first:
            with suppress(OSError, ValueError):
                by_size[os.stat(path).st_size].append(path)
        tails: dict[str, bytes] = {}
        for path in second:
            if path not in pairs:
                with suppress(OSError, ValueError):
                    for other in by_size.get(os.stat(path).st_size, ()):
                        if _is_equal(path, other, tails):
                            pairs[path] = other
                            break
    return [(other, path) for path, other in pairs.items()]


def _resolved(path: str, folders: dict[str, str]) -> str:
    """The path with the links of its folder resolved; each folder is resolved once."""
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.join(folders[folder], name)


def _is_equal(path: str, other: str, tails: dict[str, bytes]) -> bool:
    for name in (path, other):
        if name not in tails:
            with open(name, 'rb') as file:
                file.seek(max(0, os.path.getsize(name) - TAIL))
                tails[name] = file.read()
    return tails[path] == tails[other] and filecmp.cmp(path, other, shallow=False)
