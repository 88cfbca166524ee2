"""Find images and label maps that an mmseg dataset would silently omit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mmseg.datasets import BaseSegDataset

from ..checks.image_files import files_with_suffix, images_left_out
from ..errors import ConfigError
from .folder_dataset import FolderSegDataset

KNOWN_LISTINGS = (BaseSegDataset.load_data_list, FolderSegDataset.load_data_list)


class ListedDataset(NamedTuple):
    """A dataset, its key in the config, and the samples that it lists."""

    key: str
    dataset: BaseSegDataset
    samples: list[dict]


def check_left_out(
    listed: Sequence[ListedDataset], others: Iterable[tuple[str, Mapping]] = ()
) -> None:
    """Find images with other suffixes than `img_suffix`, and label maps without an image.

    Not checked are datasets with an annotation file or their own listing, images if `img_suffix` is
    more than a suffix (`_leftImg8bit.png`) and so selects among them, and folders that also hold
    maps of another dataset.

    Args:
        listed: The datasets to check.
        others: Keys and configs of the other datasets of the config.

    Raises:
        ConfigError: Gives the number of omitted files, and the first one.
    """
    listed = [
        entry
        for entry in listed
        if not entry.dataset.ann_file and type(entry.dataset).load_data_list in KNOWN_LISTINGS
    ]
    for key, dataset, samples in listed:
        if not dataset.img_suffix.startswith('.'):
            continue
        used = [sample['img_path'] for sample in samples]
        problem = images_left_out(dataset.data_prefix['img_path'], used, _maps(dataset))
        if problem:
            raise ConfigError(
                f"{key}: {problem}. Set type='FolderSegDataset' without img_suffix, which accepts "
                f'any suffix (add swinv2_dense.seg to custom_imports), or convert them to '
                f'{dataset.img_suffix}, or move them away'
            )
    shared = {_folder_of_maps(config) for _, config in others}
    used_maps: dict[str, set[str]] = {}
    for _, dataset, samples in listed:
        folder = dataset.data_prefix.get('seg_map_path')
        if folder is not None and os.path.normpath(folder) not in shared:
            stems = {_stem(sample['seg_map_path']) for sample in samples}
            used_maps.setdefault(os.path.normpath(folder), set()).update(stems)
    for key, dataset, _ in listed:
        folder = os.path.normpath(dataset.data_prefix.get('seg_map_path') or '')
        used = used_maps.get(folder)
        if used is None or not dataset.seg_map_suffix.startswith('.'):
            continue
        images = {os.path.normpath(sample['img_path']) for _, _, s in listed for sample in s}
        paths = [path for path in _maps(dataset) if path not in images]
        alone = [path for path in paths if _stem(path) not in used]
        if alone:
            raise ConfigError(
                f'{key}: {len(alone)} of {len(paths)} label maps in {folder} have no image in '
                f'{dataset.data_prefix["img_path"]} and would not be used; the first is '
                f'{alone[0]}. Add the images, or move the maps away'
            )


def _maps(dataset: BaseSegDataset) -> list[str]:
    """All files that could be its label maps."""
    folder = dataset.data_prefix.get('seg_map_path')
    if folder is None:
        return []
    names = files_with_suffix(folder, (dataset.seg_map_suffix.lower(),))
    return [os.path.normpath(os.path.join(folder, name)) for name in names]


def _stem(path: str) -> str:
    return os.path.splitext(os.path.normpath(path))[0]


def _folder_of_maps(config: Mapping) -> str | None:
    prefix = config.get('data_prefix')
    folder = prefix.get('seg_map_path') if isinstance(prefix, Mapping) else None
    return os.path.normpath(os.path.join(config.get('data_root') or '', folder)) if folder else None
