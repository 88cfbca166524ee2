"""Labels of images from folders and lists; numbers that are folders are numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from swinv2_dense.classification import (
    ClassFolderDataset,
    ImageListDataset,
    NumberedFolderDataset,
    SortedFolderDataset,
)
from swinv2_dense.errors import ConfigError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def labels_of(dataset: ClassFolderDataset | ImageListDataset) -> dict[str, int]:
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {os.path.relpath(d['img_path'], dataset.data_root): d['gt_label'] for d in infos}


def test_folders_of_imagenet_v2_are_read_as_numbers(tmp_path):
    """Sorted as text, 10 and 100 come before 2, and 996 of 1000 classes get another's label."""
    folder = 'imagenetv2-matched-frequency-format-val'
    touch(tmp_path, *(f'{folder}/{label}/{label:04x}.jpeg' for label in range(1000)))
    dataset = NumberedFolderDataset(data_root=str(tmp_path), data_prefix=dict(img_path=folder))
    found = labels_of(dataset)
    assert len(found) == 1000
    assert all(label == int(Path(path).parent.name) for path, label in found.items())
    as_text = sorted(map(str, range(1000)))
    assert sum(as_text.index(str(label)) != label for label in range(1000)) > 900


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (('0', '1', 'n01440764'), '1 folders that are not named after a label.*: n01440764; use'),
        (('0', '1', '01'), 'two folders of the same number: 0, 01, 1'),
    ],
)
def test_folders_that_are_not_numbers(tmp_path, names, message):
    touch(tmp_path, *(f'{name}/a.jpg' for name in names))
    with pytest.raises(ConfigError, match=message):
        NumberedFolderDataset(data_root=str(tmp_path))


def test_imagenet_numbers_the_sorted_folders(tmp_path):
    names = ('n02119789', 'n01440764', 'n02114548')
    touch(tmp_path, *(f'train/{name}/{name}_1.JPEG' for name in names))
    kwargs = dict(data_root=str(tmp_path), data_prefix=dict(img_path='train'))
    dataset = SortedFolderDataset(**kwargs)
    assert labels_of(dataset) == {
        'train/n01440764/n01440764_1.JPEG': 0,
        'train/n02114548/n02114548_1.JPEG': 1,
        'train/n02119789/n02119789_1.JPEG': 2,
    }
    assert dataset.metainfo['classes'] == ('n01440764', 'n02114548', 'n02119789')
    named = SortedFolderDataset(**kwargs, metainfo=dict(classes=('tench', 'white wolf', 'fox')))
    assert labels_of(named) == labels_of(dataset) and named.metainfo['classes'][0] == 'tench'
    with pytest.raises(ConfigError, match='3 class folders instead of 2, and labels are their pl'):
        SortedFolderDataset(**kwargs, metainfo=dict(classes=('tench', 'fox')))


def test_class_folders_index_the_classes(tmp_path):
    touch(
        tmp_path, 'wave/day 1/2.PNG', 'wave/1.jpg', 'clap/1.webp', 'clap/.hidden.jpg', 'notes.txt'
    )
    dataset = ClassFolderDataset(data_root=str(tmp_path), metainfo=dict(classes=('wave', 'clap')))
    assert labels_of(dataset) == {'wave/1.jpg': 0, 'wave/day 1/2.PNG': 0, 'clap/1.webp': 1}
    with pytest.raises(ConfigError, match='needs metainfo'):
        ClassFolderDataset(data_root=str(tmp_path))
    touch(tmp_path, 'jump/1.jpg')
    with pytest.raises(ConfigError, match='folders of 1 classes that are not trained: jump; the c'):
        ClassFolderDataset(data_root=str(tmp_path), metainfo=dict(classes=('wave', 'clap')))
    with pytest.raises(ConfigError, match=r"folder of images '.*gone.*' does not exist"):
        ClassFolderDataset(data_root=f'{tmp_path}/gone', metainfo=dict(classes=('a', 'b')))


def listed(tmp_path: Path, text: str, **kwargs: object) -> ImageListDataset:
    (tmp_path / 'list.txt').write_text(text, encoding='utf-8')
    prefix = dict(img_path='val')
    return ImageListDataset('list.txt', data_root=str(tmp_path), data_prefix=prefix, **kwargs)


def test_lists_have_numbers_or_names_after_a_blank_or_a_tab(tmp_path):
    text = '# comment\n\nval 1.JPEG 65\nn0/b c.jpg\tred panda\r\nd.jpg 0\n'
    dataset = listed(tmp_path, text, metainfo=dict(classes=('cat', 'red panda')))
    assert labels_of(dataset) == {'val/val 1.JPEG': 65, 'val/n0/b c.jpg': 1, 'val/d.jpg': 0}


def test_classes_of_a_list_may_be_in_a_file(tmp_path):
    """One name per line, in the order of the labels."""
    (tmp_path / 'names.txt').write_text('cat\nred panda\n')
    metainfo = dict(classes=str(tmp_path / 'names.txt'))
    dataset = listed(tmp_path, 'a.jpg 0\nb.jpg\tred panda\n', metainfo=metainfo)
    assert dataset.metainfo['classes'] == ['cat', 'red panda']
    assert labels_of(dataset) == {'val/a.jpg': 0, 'val/b.jpg': 1}


def test_lists_in_json(tmp_path):
    """As the official ones of ImageNet-22K."""
    text = json.dumps([['n0/a b.JPEG', 21840], ['n1/c.JPEG', 0]])
    assert labels_of(listed(tmp_path, text)) == {'val/n0/a b.JPEG': 21840, 'val/n1/c.JPEG': 0}
    with pytest.raises(ConfigError, match=r"list.txt, entry 1: \{'a': 1\} is not \[PATH, LABEL\]"):
        listed(tmp_path, '[["a.jpg", 1], {"a": 1}]')
    with pytest.raises(ConfigError, match='list.txt is not valid JSON: '):
        listed(tmp_path, '[["a.jpg", 1]')


def test_images_to_be_tested_may_have_no_label(tmp_path):
    dataset = listed(tmp_path, 'a.jpg\nb.jpg 1\n', test_mode=True)
    infos = [dataset.get_data_info(i) for i in range(2)]
    assert [info.get('gt_label') for info in infos] == [None, 1]
    assert [Path(info['img_path']).name for info in infos] == ['a.jpg', 'b.jpg']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a.jpg 0\nb.jpg\n', r'list\.txt:2: no label; each line must be PATH LABEL'),
        ('a.jpg dog\n', r"list\.txt:1: label 'dog' is neither a number nor the name of a class"),
        ('a.jpg -1\n', r"list\.txt:1: label '-1' is neither"),
        ('\n\n', r'list\.txt lists no images'),
    ],
)
def test_lines_that_say_nothing(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        listed(tmp_path, text)


def test_a_missing_list_and_one_that_is_not_text(tmp_path):
    with pytest.raises(ConfigError, match=r"list of images '.*gone.txt' does not exist"):
        ImageListDataset('gone.txt', data_root=str(tmp_path))
    (tmp_path / 'list.txt').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ConfigError, match='is not UTF-8 text'):
        ImageListDataset('list.txt', data_root=str(tmp_path))
