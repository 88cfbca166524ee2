"""Names of the pictures of many files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence

WRITTEN = ('.jpg', '.jpeg', '.png')  # formats of pictures; pictures of other files are JPEG


def picture_suffix(path: str) -> str:
    """Suffix of a file's picture: its own if pictures can have it, else .jpg."""
    suffix = os.path.splitext(path)[1]
    return suffix if suffix.lower() in WRITTEN else '.jpg'


def names_below(files: Sequence[str | os.PathLike]) -> list[str]:
    """Paths of files relative to their deepest common folder."""
    paths = [os.path.abspath(file) for file in files]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ''
    return [os.path.relpath(path, shared) for path in paths]


def picture_names(
    files: Sequence[str | os.PathLike], suffix_of: Callable[[str], str] = picture_suffix
) -> list[str]:
    """A relative path for the picture of each file, unique for each file.

    `12.jpg` stays `12.jpg`, `a/12.tif` becomes `a/12.jpg`. If two files would have the same
    picture (`12.tif` and `12.jpg`), the one that changes its suffix becomes `12.tif.jpg`.
    """
    names = names_below(files)
    suffixes = [suffix_of(str(file)) for file in files]
    wanted = [_stem(name) + suffix for name, suffix in zip(names, suffixes)]
    counts = Counter(w.lower() for n, w in dict(zip(names, wanted)).items())
    taken = set(names)
    chosen = []
    for name, suffix, want in zip(names, suffixes, wanted):
        is_free = counts[want.lower()] == 1 and (want == name or want not in taken)
        if want != name and not is_free:
            want = name + suffix
            while want in taken:  # another file has this name
                want = want.removesuffix(suffix) + '_' + suffix
        chosen.append(want)
    return chosen


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
