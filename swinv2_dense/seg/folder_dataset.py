"""A dataset from a folder of images in any format, with label maps of the same names."""

from __future__ import annotations

import os

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..checks.image_files import (
    IMAGE_SUFFIXES,
    UNREAD_SUFFIXES,
    counted_suffixes,
    files_with_suffix,
)
from ..errors import ConfigError


@DATASETS.register_module()
class FolderSegDataset(BaseSegDataset):
    """All images below `data_prefix['img_path']`, with any suffix.

    `BaseSegDataset` only takes files that end in `img_suffix`. Here the map of `a/x.JPG`,
    `a/x.jpeg` or `a/x.png` is `a/x` + `seg_map_suffix`. With an `ann_file` it behaves like
    `BaseSegDataset`.

    Raises:
        ConfigError: Two images share a map, or OpenCV cannot read the format of an image.
    """

    def load_data_list(self) -> list[dict]:
        """Like `BaseSegDataset`, sorted by path."""
        if self.ann_file:
            return super().load_data_list()
        folder, maps = self.data_prefix['img_path'], self.data_prefix.get('seg_map_path')
        unread = files_with_suffix(folder, UNREAD_SUFFIXES)
        if unread:
            raise ConfigError(
                f'{len(unread)} images in {folder} have an unsupported format, '
                f'{counted_suffixes(unread)}, first {os.path.join(folder, unread[0])}; convert '
                'them, or move them away'
            )
        first: dict[str, str] = {}
        samples = []
        for name in files_with_suffix(folder, IMAGE_SUFFIXES):
            if maps is not None and self._is_map(os.path.join(folder, name), maps):
                continue
            stem = os.path.splitext(name)[0]
            if first.setdefault(stem, name) != name:
                raise ConfigError(
                    f'{folder} has both {first[stem]} and {name}, which share one label map; '
                    'remove one, or rename it and its map'
                )
            sample = dict(img_path=os.path.join(folder, name))
            if maps is not None:
                sample['seg_map_path'] = os.path.join(maps, stem + self.seg_map_suffix)
            samples.append(
                dict(
                    **sample,
                    label_map=self.label_map,
                    reduce_zero_label=self.reduce_zero_label,
                    seg_fields=[],
                )
            )
        return samples

    def _is_map(self, path: str, maps: str) -> bool:
        """Whether an image is a label map, if these are in the folder of images or below it."""
        lies_within = not os.path.relpath(path, maps).startswith(os.pardir)
        return lies_within and path.lower().endswith(self.seg_map_suffix.lower())
