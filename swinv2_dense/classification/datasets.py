"""Datasets of labelled images: in one folder per class, or listed in a file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any, TextIO

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from ..errors import ConfigError, truncate
from ..own_data.class_folders import IMAGES, class_folders, labelled_files


@DATASETS.register_module()
class ClassFolderDataset(BaseDataset):
    """Images in `data_prefix['img_path']/CLASS/`, at any depth, in folders named after the classes.

    A sample has `img_path` and `gt_label`.

    Args:
        data_prefix: `dict(img_path=FOLDER)`, below `data_root`.
        metainfo: `dict(classes=NAMES)`; labels index this list. For every split the result of
            `own_data.read_image_folders` for the training images. Checkpoints store it.
        kwargs: Of mmengine's `BaseDataset`.

    Raises:
        ConfigError: No classes are given, images have no class or another format, or there are
            none.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs['data_prefix'] = dict(kwargs.get('data_prefix') or dict(img_path=''))
        super().__init__(**kwargs)

    @property
    def folder(self) -> str:
        """The folder of class folders."""
        return self.data_prefix['img_path']

    def labels(self) -> dict[str, int]:
        """The label of each class folder, by its name."""
        classes = self.metainfo.get('classes')
        if not classes:
            raise ConfigError(
                f'{type(self).__name__} of {self.folder} needs metainfo=dict(classes=FOLDER_NAMES)'
            )
        return {name: label for label, name in enumerate(classes)}

    def load_data_list(self) -> list[dict]:
        """`img_path` and `gt_label` of each image."""
        if not os.path.isdir(self.folder):
            raise ConfigError(f'folder of images {self.folder!r} does not exist; fix data_root')
        files = labelled_files(self.folder, self.labels(), IMAGES)
        return [dict(img_path=path, gt_label=label) for path, label in files]


@DATASETS.register_module()
class SortedFolderDataset(ClassFolderDataset):
    """Class folders whose labels are their places in the sorted list of names, as of ImageNet.

    ImageNet's folders are named after WordNet ids (n01440764), its classes after words. Without
    `metainfo=dict(classes=...)` the names of the folders are the classes.

    Raises:
        ConfigError: There are more or fewer folders than classes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, 'lazy_init': True})
        if not self.metainfo.get('classes'):
            self._metainfo['classes'] = tuple(class_folders(self.folder))
        if not kwargs.get('lazy_init'):
            self.full_init()

    def labels(self) -> dict[str, int]:
        names, classes = class_folders(self.folder), self.metainfo['classes']
        if len(names) != len(classes):
            raise ConfigError(
                f'{self.folder} has {len(names)} class folders instead of {len(classes)}, and '
                f'labels are their places in sorted order; the folders are {truncate(names)}'
            )
        return {name: label for label, name in enumerate(names)}


@DATASETS.register_module()
class NumberedFolderDataset(ClassFolderDataset):
    """Class folders named after their labels, 0, 1, 2, ..., as of ImageNet-V2.

    Labels are the numbers: sorted as text, folder 10 would come before folder 2.

    Raises:
        ConfigError: A folder is not named after a number, or two after the same one.
    """

    def labels(self) -> dict[str, int]:
        names = class_folders(self.folder)
        wrong = [name for name in names if not re.fullmatch('[0-9]+', name)]
        if wrong:
            raise ConfigError(
                f'{self.folder} has {len(wrong)} folders that are not named after a label, 0, 1, '
                f'2, ...: {truncate(wrong)}; use ClassFolderDataset for folders named after classes'
            )
        labels = {name: int(name) for name in sorted(names, key=int)}
        if len(set(labels.values())) < len(labels):
            raise ConfigError(
                f'{self.folder} has two folders of the same number: {truncate(names)}'
            )
        return labels


@DATASETS.register_module()
class ImageListDataset(BaseDataset):
    """Images listed in a text file, one `PATH LABEL` per line, or in JSON, as [[PATH, LABEL], ...].

    The path is below `data_prefix['img_path']`. The label is the number of the class, counted from
    0, or its name in `metainfo['classes']`. If a line has a tab, it separates the two; else the
    last blank does. Empty lines and lines that begin with # are skipped. JSON is the format of the
    official lists of ImageNet-22K.

    Args:
        ann_file: The list, below `data_root`.
        kwargs: Of mmengine's `BaseDataset`; in `test_mode`, labels may be missing.

    Raises:
        ConfigError: A line has no label, or an unknown one; gives the file and the line.
    """

    def __init__(self, ann_file: str, **kwargs: Any) -> None:
        kwargs['data_prefix'] = dict(kwargs.get('data_prefix') or dict(img_path=''))
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """`img_path` and `gt_label` of each image."""
        samples = [sample for _, sample in self.lines()]
        if not samples:
            raise ConfigError(f'{self.ann_file} lists no images')
        return samples

    def lines(self) -> Iterator[tuple[str, dict]]:
        """The place of each entry in the list, for messages, and its sample."""
        numbers = {name: label for label, name in enumerate(self.metainfo.get('classes') or ())}
        if not os.path.isfile(self.ann_file):
            raise ConfigError(f'list of images {self.ann_file!r} does not exist')
        try:
            with open(self.ann_file, encoding='utf-8-sig') as file:
                is_json = file.read(1) == '['
                file.seek(0)
                entries = self._json_entries(file) if is_json else self._text_entries(file)
                for where, path, label in entries:
                    yield where, self._sample(where, path, label, numbers)
        except UnicodeDecodeError as error:
            raise ConfigError(f'{self.ann_file} is not UTF-8 text: {error}') from error

    def _text_entries(self, file: TextIO) -> Iterator[tuple[str, str, str | None]]:
        """Place, path and label; None for a line without a blank."""
        for number, line in enumerate(file, 1):
            line = line.strip()
            if line and not line.startswith('#'):
                path, _, label = line.rpartition('\t' if '\t' in line else ' ')
                where = f'{self.ann_file}:{number}'
                yield (where, path.strip(), label.strip()) if path else (where, line, None)

    def _json_entries(self, file: TextIO) -> Iterator[tuple[str, str, str | None]]:
        try:
            entries = json.load(file)
        except ValueError as error:
            raise ConfigError(f'{self.ann_file} is not valid JSON: {error}') from error
        for number, entry in enumerate(entries):
            where = f'{self.ann_file}, entry {number}'
            if not isinstance(entry, list) or not entry or not isinstance(entry[0], str):
                raise ConfigError(f'{where}: {str(entry)[:80]} is not [PATH, LABEL]')
            yield where, entry[0], str(entry[1]) if len(entry) > 1 else None

    def _sample(self, where: str, path: str, label: str | None, numbers: dict[str, int]) -> dict:
        sample: dict[str, Any] = dict(img_path=os.path.join(self.data_prefix['img_path'], path))
        if label in numbers:
            sample['gt_label'] = numbers[label]
        elif label is not None and re.fullmatch('[0-9]+', label):
            sample['gt_label'] = int(label)
        elif label is not None or not self.test_mode:
            reason = f'label {label!r} is neither a number nor the name of a class'
            raise ConfigError(
                f'{where}: {reason if label is not None else "no label"}; each line must be PATH '
                'LABEL, separated by a tab if names contain blanks'
            )
        return sample
