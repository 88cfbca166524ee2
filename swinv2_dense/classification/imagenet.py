"""ImageNet-1K, ImageNet-22K and ImageNet-V2, with readable names of their classes."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS

from ..errors import ConfigError
from ..own_data.class_folders import class_folders
from .datasets import ImageListDataset, NumberedFolderDataset, SortedFolderDataset

NAMES = Path(__file__).with_name('imagenet1k.txt')
NAMES_22K = Path(__file__).with_name('imagenet22k.txt')
# The only class of ImageNet-1K that ImageNet-22K has under another id, of a synset with this word.
TEDDY = {'n04399382': 'n03013580'}


@functools.cache
def read_synsets(path: str | Path) -> dict[str, str]:
    """Names of classes by WordNet id, in the order of the file.

    Args:
        path: Lines of `n01440764 tench, Tinca tinca`; of several names the first is taken. The
            separator is a blank or a tab; lines that begin with # are skipped. Such files come with
            ImageNet (`LOC_synset_mapping.txt`) and with timm (`imagenet_synset_to_lemma.txt`, for
            22K classes).

    Raises:
        ConfigError: The file cannot be read, or a line is not of that form.
    """
    names = {}
    try:
        lines = Path(path).expanduser().read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ConfigError(f'names of classes {str(path)!r} cannot be read: {reason}') from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith('#'):
            continue
        wnid, *rest = line.split(maxsplit=1)
        name = rest[0].split(', ')[0].strip() if rest else ''
        if not name:
            raise ConfigError(f'{path}:{number}: {line!r} must be a WordNet id and a name')
        names[wnid] = name
    return names


def class_names(folders: Sequence[str], synsets: dict[str, str]) -> tuple[str, ...]:
    """A name per folder: that of its WordNet id, with the id if two have the same, or the folder's.

    Args:
        folders: WordNet ids or other names.
        synsets: Names by id.
    """
    names = [synsets.get(folder, folder) for folder in folders]
    count = Counter(names)
    return tuple(
        name if count[name] == 1 else f'{name} ({folder})' for name, folder in zip(names, folders)
    )


def rows_of_imagenet1k() -> list[int]:
    """The label in ImageNet-22K of each class of ImageNet-1K.

    Equal to `data/map22kto1k.txt` of the official code, with which it turns a head for 22K classes
    into one for 1K.
    """
    labels = {wnid: label for label, wnid in enumerate(read_synsets(NAMES_22K))}
    return [labels[TEDDY.get(wnid, wnid)] for wnid in read_synsets(NAMES)]


@DATASETS.register_module()
class ImageNet(SortedFolderDataset):
    """Images in folders named after WordNet ids, whose labels are their places in sorted order.

    ImageNet-1K, and subsets of ImageNet-22K. Classes get readable names; folders without a known id
    keep theirs. The released heads for 22K classes have the labels of `ImageNet22K`, which are not
    the places of sorted folders.

    Args:
        names_file: WordNet ids with names, see `read_synsets`. Default: those of ImageNet-1K and
            ImageNet-22K.
        kwargs: Of `SortedFolderDataset`; `metainfo=dict(classes=...)` replaces the names.
    """

    METAINFO = dict(classes=tuple(read_synsets(NAMES).values()))  # without data, as for inference

    def __init__(self, names_file: str | None = None, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, 'lazy_init': True})
        if not (kwargs.get('metainfo') or {}).get('classes'):
            known = read_synsets(NAMES_22K) | read_synsets(NAMES)
            synsets = read_synsets(names_file) if names_file else known
            self._metainfo['classes'] = class_names(class_folders(self.folder), synsets)
        if not kwargs.get('lazy_init'):
            self.full_init()


@DATASETS.register_module()
class ImageNetV2(NumberedFolderDataset):
    """One of the three variants of ImageNet-V2 (arXiv 1902.10811), in folders named 0 to 999.

    Args:
        kwargs: Of `NumberedFolderDataset`.
    """

    METAINFO = dict(classes=tuple(read_synsets(NAMES).values()))


@DATASETS.register_module()
class ImageNet22K(ImageListDataset):
    """ImageNet-22K (fall 2011), from lists with the labels of the official code, 0 to 21840.

    Args:
        kwargs: Of `ImageListDataset`.
    """

    METAINFO = dict(classes=class_names([*read_synsets(NAMES_22K)], read_synsets(NAMES_22K)))
