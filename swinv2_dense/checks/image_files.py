"""Image files in folders: which are there, and which a dataset would leave out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable

# What OpenCV decodes. Loaders go by content, so a suffix only has to be recognized as an image's.
IMAGE_SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.bmp', '.dib', '.webp', '.tif', '.tiff'),
    *('.jp2', '.ppm', '.pgm', '.pbm', '.pnm', '.pam'),
)
UNREAD_SUFFIXES = ('.gif', '.heic', '.heif', '.avif', '.jxl', '.dng', '.psd', '.tga')


def files_below(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    """Paths below `folder`, at any depth, that end in one of `suffixes` in any case; sorted.

    Hidden files are left out, as `._NAME.jpg`, which macOS writes beside NAME.jpg.
    """
    found = []
    for place, _, names in os.walk(folder, followlinks=True):
        below = os.path.relpath(place, folder)
        for name in names:
            if name.lower().endswith(suffixes) and not name.startswith('.'):
                found.append(os.path.normpath(os.path.join(below, name)))
    return sorted(found)


def images_left_out(folder: str, used: Collection[str], others: Collection[str]) -> str | None:
    """What is said if `folder` has images that a dataset does not use, or None.

    Args:
        folder: Folder of images.
        used: Paths of the images that the dataset uses.
        others: Paths of files that only look like images, as its label maps.

    An image that lies beside a used one of the same name counts as another form of it.
    """
    stems = {os.path.splitext(os.path.normpath(path))[0] for path in used}
    ignored = {os.path.normpath(path) for path in others}
    names = files_below(folder, IMAGE_SUFFIXES + UNREAD_SUFFIXES)
    paths = [os.path.normpath(os.path.join(folder, name)) for name in names]
    left = [p for p in paths if os.path.splitext(p)[0] not in stems and p not in ignored]
    if not left:
        return None
    return (
        f'{len(left)} of {len(left) + len(stems)} images in {folder} are not used, as they end in '
        f'{counted_suffixes(left)}; the first is {left[0]}'
    )


def counted_suffixes(paths: Iterable[str]) -> str:
    """The suffixes of files, the most frequent first: .png (12), .JPG (3)."""
    counts = Counter(os.path.splitext(path)[1] for path in paths)
    return ', '.join(f'{suffix} ({n})' for suffix, n in counts.most_common())
