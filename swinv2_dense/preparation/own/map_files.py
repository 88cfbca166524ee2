"""Which images are label maps, by their folder or the end of their name."""

from __future__ import annotations

import posixpath
import re

MAP_WORDS = {
    *('mask', 'masks', 'label', 'labels', 'labelmap', 'labelmaps', 'annotation', 'annotations'),
    *('annot', 'annots', 'seg', 'segs', 'segmentation', 'segmentations', 'segmentationclass'),
    *('gt', 'groundtruth', 'truth', 'map', 'maps', 'target', 'targets'),
}
NAME_END = re.compile(r'(.+)[-_. ](mask|masks|label|labels|seg|segmentation|gt|annotation|L)$')


def is_map(name: str) -> bool:
    """Whether the name of an image says that it is a label map."""
    folders = [words_of(part) for part in posixpath.dirname(name).split('/')]
    in_folder = any(words & MAP_WORDS for words in folders)
    return in_folder or bool(NAME_END.match(posixpath.splitext(posixpath.basename(name))[0]))


def words_of(part: str) -> set[str]:
    """The words in the name of a folder, in lower case."""
    return set(filter(None, re.split(r'[^a-z0-9]+', part.lower())))
