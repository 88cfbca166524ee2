"""Classes, videos and labels of a dataset with one folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from glob import glob

from ..checks.files import files_below
from ..checks.image_files import counted_suffixes, files_with_suffix
from ..checks.video_files import UNREAD_SUFFIXES, VIDEO_SUFFIXES
from ..errors import ConfigError, truncate


def read_class_folders(folder: str) -> tuple[str, ...]:
    """Sorted class names of `folder/CLASS/*.mp4`; hidden folders are ignored.

    Raises:
        ConfigError: There is no such folder, it has fewer than two classes, or one has no videos.
    """
    if not os.path.isdir(folder):
        raise ConfigError(
            f'folder of videos {folder!r} does not exist; fix data_root, for '
            'configs/_base_/datasets/own_videos.py with export OWN_DATA=FOLDER'
        )
    names = tuple(sorted(name for name in os.listdir(folder) if _is_class(folder, name)))
    if len(names) < 2:
        raise ConfigError(
            f'{folder} has {len(names)} class folders, and at least 2 are needed; arrange videos '
            f'as {os.path.join(folder, "CLASS", "VIDEO.mp4")}'
        )
    present = {label for _, label in labelled_videos(folder, names)}
    for label, name in enumerate(names):
        if label not in present:
            raise ConfigError(_no_videos(os.path.join(folder, name)))
    return names


def labelled_videos(folder: str, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Path and label of each video in `folder/CLASS`, at any depth; sorted by class and path.

    Videos are recognized by `VIDEO_SUFFIXES`, ignoring case; other and hidden files are skipped. A
    class may have no videos here, or no folder.

    Raises:
        ConfigError: Some videos have no class or another format, or there are none.
    """
    unknown = sorted(n for n in os.listdir(folder) if _is_class(folder, n) and n not in classes)
    if unknown:
        raise ConfigError(
            f'{folder} has folders of {len(unknown)} classes that are not trained: '
            f'{truncate(unknown)}; the classes are {truncate(classes)}. Rename or move these '
            'folders'
        )
    loose = [name for name in sorted(os.listdir(folder)) if _is_video(folder, name)]
    if loose:
        raise ConfigError(
            f'{len(loose)} videos in {folder} are not in a class folder, first '
            f'{os.path.join(folder, loose[0])}; move each into the folder of its class'
        )
    found = [
        (path, label)
        for label, name in enumerate(classes)
        for path in _videos(os.path.join(folder, name))
    ]
    if not found:
        raise ConfigError(_no_videos(folder))
    unread = [
        os.path.join(folder, name, path)
        for name in classes
        for path in files_with_suffix(os.path.join(folder, name), UNREAD_SUFFIXES)
    ]
    if unread:
        raise ConfigError(
            f'{len(unread)} of {len(found) + len(unread)} videos in {folder} have an unsupported '
            f'format, {counted_suffixes(unread)}, first {unread[0]}; convert them (ffmpeg -i OLD '
            'NEW.mp4), or move them away'
        )
    return found


def _is_class(folder: str, name: str) -> bool:
    return not name.startswith('.') and os.path.isdir(os.path.join(folder, name))


def _is_video(folder: str, name: str) -> bool:
    return _has_suffix(name) and os.path.isfile(os.path.join(folder, name))


def _has_suffix(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith('.')


def _videos(folder: str) -> list[str]:
    # Skips hidden files, such as the ._NAME.mp4 that macOS writes next to NAME.mp4.
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, name) for name in sorted(files_below(folder)) if _has_suffix(name)]


def _no_videos(folder: str) -> str:
    paths = glob('**/*.*', root_dir=folder, recursive=True)
    suffixes = sorted({os.path.splitext(path)[1] for path in paths})
    return (
        f'{folder} has no video ({", ".join(VIDEO_SUFFIXES)}); it has '
        f'{", ".join(suffixes[:5]) or "no files"}. Add videos, or move it away'
    )
