"""Images and videos without labels, for pre-training."""

from __future__ import annotations

import logging
import os
import zlib

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from ..checks.image_files import (
    IMAGE_SUFFIXES,
    UNREAD_SUFFIXES,
    counted_suffixes,
    files_with_suffix,
)
from ..errors import ConfigError
from ..own_data.class_folders import UNREAD_SUFFIXES as UNREAD_VIDEO_SUFFIXES
from ..own_data.class_folders import VIDEO_SUFFIXES

PARTS = ('all', 'train', 'held_out')


@DATASETS.register_module()
class UnlabeledImages(BaseDataset):
    """All images in a folder, at any depth, whatever their names.

    They are recognized by their suffix, `checks.image_files.IMAGE_SUFFIXES`, ignoring case. Some
    are held out for validation, at least one, chosen by a checksum of their path below the folder:
    the choice is the same on every machine, and in a folder that is not tiny it stays the same
    when images are added.

    Args:
        data_root: The folder, or the one that `data_prefix=dict(img_path=...)` is relative to.
        part: 'all', 'train' (all but those held out) or 'held_out'.
        held_out: Share of images to hold out, at least 0 and below 1.
        kwargs: Arguments of `BaseDataset`.

    Raises:
        ConfigError: There is no such folder, it cannot be listed, it or the part has no images, or
            an argument is out of range.
    """

    METAINFO = dict(classes=())
    WHAT, SUFFIXES, UNREAD = 'images', IMAGE_SUFFIXES, UNREAD_SUFFIXES

    def __init__(
        self, data_root: str = '', part: str = 'all', held_out: float = 0.02, **kwargs: object
    ) -> None:
        name = type(self).__name__
        if part not in PARTS:
            raise ConfigError(f'{name}: part={part!r} must be one of {", ".join(PARTS)}')
        if not 0 <= held_out < 1:
            raise ConfigError(f'{name}: held_out={held_out} must be at least 0 and below 1')
        self.part, self.held_out = part, held_out
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """A dict per file, sorted by path."""
        folder = os.path.normpath(next(iter(self.data_prefix.values()), self.data_root))
        if not os.path.isdir(folder):
            raise ConfigError(
                f'folder of {self.WHAT} {folder!r} does not exist; fix data_root of the dataset, '
                'for configs/_base_/datasets/own_unlabeled.py with export OWN_DATA=FOLDER'
            )
        names = files_with_suffix(folder, self.SUFFIXES)
        unread = files_with_suffix(folder, self.UNREAD)
        if not names:
            others = f'; {counted_suffixes(unread)} cannot be read' if unread else ''
            raise ConfigError(f'{folder} has no {self.WHAT} ({", ".join(self.SUFFIXES)}){others}')
        if unread:
            print_log(
                f'{folder}: {len(unread)} {self.WHAT} are not used, because their format '
                f'cannot be read: {counted_suffixes(unread)}; the first is {unread[0]}',
                'current',
                logging.WARNING,
            )
        chosen = self._chosen(names)
        if not chosen:
            raise ConfigError(
                f'{folder} has {len(names)} {self.WHAT}, but none for part={self.part!r} '
                f'with held_out={self.held_out}; change held_out, or add {self.WHAT}'
            )
        return [self._info(os.path.join(folder, name)) for name in chosen]

    def _info(self, path: str) -> dict:
        return dict(img_path=path)

    def _chosen(self, names: list[str]) -> list[str]:
        """The files of the part."""
        if self.part == 'all':
            return names
        sums = {name: zlib.crc32(name.replace(os.sep, '/').encode()) for name in names}
        limit = max(self.held_out * 2**32, min(sums.values()) + 1) if self.held_out else 0
        return [name for name in names if (sums[name] < limit) == (self.part == 'held_out')]


@DATASETS.register_module()
class UnlabeledVideos(UnlabeledImages):
    """All videos in a folder, as `UnlabeledImages`, for the transforms of mmaction2.

    The key of `data_prefix` is `video`.
    """

    WHAT, SUFFIXES, UNREAD = 'videos', VIDEO_SUFFIXES, UNREAD_VIDEO_SUFFIXES

    def _info(self, path: str) -> dict:
        return dict(filename=path, start_index=0, modality='RGB')
