"""The lists of VOC that say which images belong to which split."""

from __future__ import annotations

import posixpath

from .source import Source, split_of


def image_sets(source: Source, task: str) -> dict[str, str]:
    """The split of each image, by its stem, that ImageSets/TASK/train.txt and the like list.

    Args:
        task: 'Main' (boxes) or 'Segmentation'.
    """
    splits: dict[str, str] = {}
    for name in source.with_suffix('.txt'):
        stem = posixpath.splitext(posixpath.basename(name))[0]
        split = split_of(stem) if f'/ImageSets/{task}/' in f'/{name}' else ''
        if split and '_' not in stem:  # CLASS_train.txt lists all images with a flag
            for line in source.text(name).splitlines():
                if line.strip():
                    image = posixpath.basename(line.split()[0])
                    splits[posixpath.splitext(image)[0] if '.' in image else image] = split
    return splits
