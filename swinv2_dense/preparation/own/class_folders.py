"""One folder of images or videos per class, below the folders of splits if there are any."""

from __future__ import annotations

from ...errors import truncate
from .found import Found, Sample
from .notes import Notes
from .source import SPLIT_WORDS, Source, split_of_folders

GENERIC = ('images', 'image', 'imgs', 'img', 'videos', 'video', 'clips', 'data', 'dataset')
NOT_CLASSES = {*GENERIC, *(word for words in SPLIT_WORDS.values() for word in words)}


def evidence(source: Source) -> str:
    files = source.videos or source.images
    classes = sorted({label for label in map(_label, files) if label})
    loose = [name for name in files if not _label(name)]
    if len(classes) < 2 or len(loose) > 0.1 * len(files):
        return ''
    return f'{"videos" if source.videos else "images"} in folders: {truncate(classes, 3)}'


def read(source: Source, notes: Notes) -> Found:
    """The label of a file is its first folder that does not name a split."""
    is_video = bool(source.videos)
    samples = []
    for name in source.videos or source.images:
        label = _label(name)
        if label:
            samples.append(Sample(source.path(name), split_of_folders(name), label=label))
        else:
            notes.warn('files outside of the folders of classes, left out', name)
    classes = sorted({sample.label for sample in samples})
    text = f'one folder of {"videos" if is_video else "images"} per class'
    return Found(text, classes, samples, ('clips' if is_video else 'images',))


def _label(name: str) -> str:
    """The class of a file; '' if it lies outside of the folders of classes."""
    parts = name.split('/')[:-1]
    while parts and parts[0].lower() in NOT_CLASSES:
        parts = parts[1:]
    return parts[0] if parts else ''
