"""Images without labels, for pre-training."""

from __future__ import annotations

import os
import zlib

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from ..checks.image_files import IMAGE_SUFFIXES, files_with_suffix
from ..errors import ConfigError

PARTS = ('all', 'train', 'held_out')


@DATASETS.register_module()
class UnlabeledImages(BaseDataset):
    """All images below `data_root`, at any depth, whatever their names.

    Images are told by their suffix (`checks.image_files.IMAGE_SUFFIXES`) in any case. Some of them
    are held out for validation: one in `1 / held_out`, chosen by a checksum of the path below
    `data_root`, so that the choice does not change when images are added.

    Args:
        data_root: The folder.
        part: 'all', 'train' (without those held out) or 'held_out'.
        held_out: Share of images to hold out, from 0 to below 1.
        kwargs: Of `BaseDataset`.

    Raises:
        ConfigError: There is no such folder, no image in it or in the part, or an argument is out
            of range.
    """

    METAINFO = dict(classes=())

    def __init__(
        self, data_root: str = '', part: str = 'all', held_out: float = 0.02, **kwargs: object
    ) -> None:
        if part not in PARTS:
            raise ConfigError(f'UnlabeledImages: part={part!r} must be one of {", ".join(PARTS)}')
        if not 0 <= held_out < 1:
            raise ConfigError(f'UnlabeledImages: held_out={held_out} must be at least 0, below 1')
        self.part, self.held_out = part, held_out
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """A dict with `img_path` per image, sorted by path."""
        if not os.path.isdir(self.data_root):
            raise ConfigError(
                f'folder of images {self.data_root!r} does not exist; correct data_root of the '
                'dataset'
            )
        names = files_with_suffix(self.data_root, IMAGE_SUFFIXES)
        chosen = [name for name in names if self._is_chosen(name)]
        if not chosen:
            raise ConfigError(
                f'{self.data_root} has {len(names)} images, and none for part={self.part!r} with '
                f'held_out={self.held_out}'
                if names
                else f'{self.data_root} has no images; those end in {", ".join(IMAGE_SUFFIXES)}'
            )
        return [dict(img_path=os.path.join(self.data_root, name)) for name in chosen]

    def _is_chosen(self, name: str) -> bool:
        if self.part == 'all':
            return True
        checksum = zlib.crc32(name.replace(os.sep, '/').encode())
        return (checksum / 2**32 < self.held_out) == (self.part == 'held_out')
