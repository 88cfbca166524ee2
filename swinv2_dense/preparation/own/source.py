"""The files of an annotated folder, and where names in annotation files lead."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import defaultdict
from functools import cached_property
from pathlib import Path

from ...checks.files import files_below
from ...checks.image_files import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from ...checks.video_files import VIDEO_SUFFIXES
from ...errors import ConfigError
from .map_files import is_map
from .notes import Notes

SPLIT_WORDS = {
    'train': ('train', 'training', 'trn'),
    'val': ('val', 'valid', 'validation', 'eval', 'dev'),
    'test': ('test', 'testing', 'tst'),
}
ABSOLUTE = re.compile(r'[A-Za-z]:|/|\\')  # also a drive letter or share of Windows
OUTSIDE = 'paths lead out of the folder; move the files into it and correct the paths'
MISSING = 'annotated images are missing; add them, or leave them out with --skip-broken'
AMBIGUOUS = (
    'names of images fit several files; write paths below the folder, or prepare the parts one by '
    'one'
)


class Source:
    """All files below a folder, without hidden ones; names are relative, with forward slashes."""

    def __init__(self, root: Path, skip_broken: bool = False) -> None:
        self.root, self.skip_broken = root, skip_broken
        self.names = [name.replace('\\', '/') for name in files_below(str(root))]
        self.known = set(self.names)

    def with_suffix(self, *suffixes: str) -> list[str]:
        return [name for name in self.names if name.lower().endswith(suffixes)]

    @cached_property
    def images(self) -> list[str]:
        return self.with_suffix(*IMAGE_SUFFIXES)

    @cached_property
    def unread_images(self) -> list[str]:
        """Images in formats that OpenCV does not read."""
        return self.with_suffix(*UNREAD_SUFFIXES)

    @cached_property
    def videos(self) -> list[str]:
        return self.with_suffix(*VIDEO_SUFFIXES)

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        found = defaultdict(list)
        for name in (*self.images, *self.videos):
            found[same_name(posixpath.basename(name))].append(name)
        return found

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        """Images by their path without suffix."""
        found = defaultdict(list)
        for name in self.images:
            found[posixpath.splitext(name)[0]].append(name)
        return found

    @cached_property
    def by_base_stem(self) -> dict[str, list[str]]:
        """Images by their name without folder and suffix."""
        found = defaultdict(list)
        for name in self.images:
            found[posixpath.splitext(posixpath.basename(name))[0]].append(name)
        return found

    def path(self, name: str) -> Path:
        return self.root / name

    def text(self, name: str) -> str:
        """The content of a text file.

        Raises:
            ConfigError: It cannot be read, or is not UTF-8.
        """
        try:
            return self.path(name).read_text(encoding='utf-8-sig')
        except (UnicodeDecodeError, OSError) as error:
            raise ConfigError(f'{self.path(name)} cannot be read as UTF-8 text: {error}') from error

    def inside(self, folder: str, name: str) -> str | None:
        """A relative path in a file of `folder` as a path below the root; None if it leaves it."""
        joined = posixpath.normpath(posixpath.join(folder, name.strip().replace('\\', '/')))
        return None if joined.startswith('..') else joined

    def image(self, given: str, folder: str, notes: Notes, where: str) -> str | None:
        """The image or video that an annotation file in `folder` names; None if there is none.

        The path counts from its end, because exports move files: `x/y.jpg` fits `images/x/y.jpg`.
        Of an absolute path, which is that of another computer, nothing outside is ever opened.
        Reasons for None are noted.
        """
        name = given.strip().replace('\\', '/')
        is_absolute = ABSOLUTE.match(name) is not None
        if not is_absolute:
            place = self.inside(folder, name)
            if place is None:
                notes.fault(OUTSIDE, f'{given!r} in {where}')
                return None
            if place in self.known:
                return place
        parts = [part for part in same_name(name).split('/') if part not in ('', '.', '..')]
        found = self._by_base.get(parts[-1], []) if parts else []
        if not found:
            self.missing(f'{given!r} of {where}', notes)
            return None
        scores = [_shared(parts, same_name(other).split('/')) for other in found]
        best = [other for other, score in zip(found, scores) if score == max(scores)]
        near = [len(posixpath.commonpath([folder, other])) if folder else 0 for other in best]
        best = [other for other, length in zip(best, near) if length == max(near)]
        split = split_of(where)
        if len(best) > 1:
            best = [other for other in best if split and split_of(other) == split] or best
            best = [other for other in best if not is_map(other)] or best
            depth = min(other.count('/') for other in best)
            best = [other for other in best if other.count('/') == depth]
        if len(best) > 1:
            notes.fault(AMBIGUOUS, f'{given!r} of {where}: {best[0]}, {best[1]}')
            return None
        if max(scores) < min(len(parts), len(best[0].split('/'))):
            notes.warn('images found by their name, in another folder', f'{given!r}: {best[0]}')
        return best[0]

    def missing(self, example: str, notes: Notes) -> None:
        """Note an image that does not exist, according to --skip-broken."""
        if self.skip_broken:
            notes.warn('annotated images are missing and left out', example)
        else:
            notes.fault(MISSING, example)


def same_name(name: str) -> str:
    """A key that is equal for names that a case-insensitive file system takes for the same.

    Apple's stores umlauts as a letter and dots, whatever annotation files have.
    """
    return unicodedata.normalize('NFC', name).lower()


def split_of(name: str) -> str:
    """The split that a folder or a word in a path names, the last one first; '' if none does."""
    folders = posixpath.dirname(name).split('/')
    stem = posixpath.splitext(posixpath.basename(name))[0]
    for part in (stem, *reversed(folders)):
        words = set(re.split(r'[^a-z]+', part.lower()))
        for split, known in SPLIT_WORDS.items():
            if words.intersection(known):
                return split
    return ''


def split_of_folders(name: str) -> str:
    """`split_of` the folders of a path alone; names of images say nothing."""
    folder = posixpath.dirname(name)
    return split_of(f'{folder}/-') if folder else ''


def _shared(parts: list[str], others: list[str]) -> int:
    """How many components at the end of two paths are equal."""
    count = 0
    for part, other in zip(reversed(parts), reversed(others)):
        if part != other:
            break
        count += 1
    return count
