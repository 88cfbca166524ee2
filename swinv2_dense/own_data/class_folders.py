"""Classes, files and labels of a dataset with one folder per class, of videos or images."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from glob import glob
from typing import NamedTuple

from ..checks import image_files
from ..checks.files import files_below, names_in
from ..checks.image_files import counted_suffixes
from ..checks.video_files import UNREAD_SUFFIXES, VIDEO_SUFFIXES
from ..errors import ConfigError, truncate


class Media(NamedTuple):
    """A kind of files, and how messages speak of it."""

    name: str
    suffixes: tuple[str, ...]  # how these files are recognized, ignoring case
    unread: tuple[str, ...]  # suffixes of formats that cannot be read
    example: str
    fragment: str  # the config that reads class folders of them
    remedy: str  # for formats that cannot be read


VIDEOS = Media(
    'video',
    VIDEO_SUFFIXES,
    UNREAD_SUFFIXES,
    'VIDEO.mp4',
    'own_videos.py',
    'convert them (ffmpeg -i OLD NEW.mp4)',
)
IMAGES = Media(
    'image',
    image_files.IMAGE_SUFFIXES,
    image_files.UNREAD_SUFFIXES,
    'IMAGE.jpg',
    'own_images.py',
    'convert them',
)


def read_class_folders(folder: str) -> tuple[str, ...]:
    """Sorted class names of `folder/CLASS/*.mp4`; hidden folders are ignored.

    Raises:
        ConfigError: There is no such folder, it has fewer than two classes, or one has no videos.
    """
    return _read_classes(folder, VIDEOS)


def read_image_folders(folder: str) -> tuple[str, ...]:
    """Sorted class names of `folder/CLASS/*.jpg`; hidden folders are ignored.

    Raises:
        ConfigError: There is no such folder, it has fewer than two classes, or one has no images.
    """
    return _read_classes(folder, IMAGES)


def class_folders(folder: str) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones; none if there is none.

    Raises:
        ConfigError: It cannot be listed.
    """
    names = names_in(folder) if os.path.isdir(folder) else []
    return [name for name in names if _is_class(folder, name)]


def labelled_videos(folder: str, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Path and label of each video in `folder/CLASS`, see `labelled_files`."""
    return labelled_files(folder, {name: i for i, name in enumerate(classes)}, VIDEOS)


def labelled_files(folder: str, labels: Mapping[str, int], media: Media) -> list[tuple[str, int]]:
    """Path and label of each file in `folder/CLASS`, at any depth; in the order of `labels`.

    Files are recognized by their suffix, ignoring case; other and hidden files are skipped. A class
    may have no files here, or no folder.

    Args:
        folder: With one folder per class.
        labels: By the names of the folders.
        media: What is in them.

    Raises:
        ConfigError: Some files have no class or another format, or there are none.
    """
    check_class_folders(folder, labels, media)
    found, unread = [], []
    for name, label in labels.items():
        for path in _files(os.path.join(folder, name)):
            if path.lower().endswith(media.suffixes):
                found.append((path, label))
            elif path.lower().endswith(media.unread):
                unread.append(path)
    if not found:
        raise ConfigError(_no_files(folder, media))
    if unread:
        raise ConfigError(
            f'{len(unread)} of {len(found) + len(unread)} {media.name}s in {folder} have an '
            f'unsupported format, {counted_suffixes(unread)}, first {unread[0]}; {media.remedy}, '
            'or move them away'
        )
    return found


def check_class_folders(folder: str, labels: Collection[str], media: Media) -> None:
    """Raise a `ConfigError` if a folder has no label, or a file is not in a class folder."""
    unknown = [name for name in class_folders(folder) if name not in labels]
    if unknown:
        raise ConfigError(
            f'{folder} has folders of {len(unknown)} classes that are not trained: '
            f'{truncate(unknown)}; the classes are {truncate(list(labels))}. Rename or move these '
            'folders'
        )
    loose = [name for name in names_in(folder) if _is_file(folder, name, media)]
    if loose:
        raise ConfigError(
            f'{len(loose)} {media.name}s in {folder} are not in a class folder, first '
            f'{os.path.join(folder, loose[0])}; move each into the folder of its class'
        )


def _read_classes(folder: str, media: Media) -> tuple[str, ...]:
    if not os.path.isdir(folder):
        raise ConfigError(
            f'folder of {media.name}s {folder!r} does not exist; fix data_root, for '
            f'configs/_base_/datasets/{media.fragment} with export OWN_DATA=FOLDER'
        )
    names = tuple(class_folders(folder))
    if len(names) < 2:
        raise ConfigError(
            f'{folder} has {len(names)} class folders, and at least 2 are needed; arrange '
            f'{media.name}s as {os.path.join(folder, "CLASS", media.example)}'
        )
    labels = {name: i for i, name in enumerate(names)}
    present = {label for _, label in labelled_files(folder, labels, media)}
    for label, name in enumerate(names):
        if label not in present:
            raise ConfigError(_no_files(os.path.join(folder, name), media))
    return names


def _is_class(folder: str, name: str) -> bool:
    return not name.startswith('.') and os.path.isdir(os.path.join(folder, name))


def _is_file(folder: str, name: str, media: Media) -> bool:
    is_media = name.lower().endswith(media.suffixes) and not name.startswith('.')
    return is_media and os.path.isfile(os.path.join(folder, name))


def _files(folder: str) -> list[str]:
    # Skips hidden files, such as the ._NAME.mp4 that macOS writes next to NAME.mp4.
    names = files_below(folder) if os.path.isdir(folder) else ()
    return [os.path.join(folder, name) for name in sorted(names)]


def _no_files(folder: str, media: Media) -> str:
    paths = glob('**/*.*', root_dir=folder, recursive=True)
    suffixes = sorted({os.path.splitext(path)[1] for path in paths})
    return (
        f'{folder} has no {media.name} ({", ".join(media.suffixes)}); it has '
        f'{", ".join(suffixes[:5]) or "no files"}. Add {media.name}s, or move it away'
    )
