"""Names of ImageNet's classes, and datasets in its layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
from narrow_classifier import write_image

from swinv2_dense.classification import ImageNet, ImageNet22K, ImageNetV2
from swinv2_dense.classification.imagenet import (
    NAMES,
    NAMES_22K,
    class_names,
    read_synsets,
    rows_of_imagenet1k,
)
from swinv2_dense.errors import ConfigError

# Well-known labels, from memory of their common uses, not from the file.
KNOWN = {
    0: ('n01440764', 'tench'),
    207: ('n02099601', 'golden retriever'),
    281: ('n02123045', 'tabby'),
    388: ('n02510455', 'giant panda'),
    817: ('n04285008', 'sports car'),
    963: ('n07873807', 'pizza'),
    999: ('n15075141', 'toilet tissue'),
}


def test_names_of_imagenet_1k() -> None:
    synsets = read_synsets(NAMES)
    ids, names = [*synsets], [*synsets.values()]
    assert len(ids) == 1000 and ids == sorted(ids)
    assert len({name.lower() for name in names}) == 1000
    for label, (wnid, name) in KNOWN.items():
        assert (ids[label], names[label]) == (wnid, name)
    assert 'WordNet 3.0 Copyright 2006 by Princeton University' in NAMES.read_text()


# Lines of data/map22kto1k.txt of the official code: those around the two labels that are not in
# sorted order, the class without an id of its own (teddy), the ends; and the sum of all lines.
ROWS_22K = {0: 359, 1: 368, 717: 9204, 718: 9212, 850: 5564, 998: 21369, 999: 21817}
SUM_OF_ROWS = 6373512


def test_names_of_imagenet_22k() -> None:
    synsets = read_synsets(NAMES_22K)
    ids = [*synsets]
    assert len(ids) == 21841 and [i for i in range(1, 21841) if ids[i] < ids[i - 1]] == [
        *(9206, 15028)  # after the two labels that have the last ids
    ]
    assert 'WordNet 3.0 Copyright 2006 by Princeton University' in NAMES_22K.read_text()
    names = ImageNet22K.METAINFO['classes']
    assert len(set(names)) == 21841 and names[0] == 'organism'
    assert {'queen (n02313008)', 'queen (n10499857)', 'queen consort'} < {*names}
    small = read_synsets(NAMES)
    other = {wnid: (name, synsets[wnid]) for wnid, name in small.items() if wnid in synsets}
    other = {wnid: pair for wnid, pair in other.items() if pair[0] != pair[1]}
    assert len(other) == 4 and other['n02012849'] == ('crane (bird)', 'crane')


def test_rows_of_a_22k_head_are_the_official_ones() -> None:
    rows = rows_of_imagenet1k()
    assert len(rows) == len(set(rows)) == 1000 and sum(rows) == SUM_OF_ROWS
    assert {label: rows[label] for label in ROWS_22K} == ROWS_22K


def test_official_lists_have_names(tmp_path: Path) -> None:
    entries = '[["fall11_whole/n00004475/a.JPEG", 0], ["fall11_whole/n15102455/b.JPEG", 9205]]'
    (tmp_path / 'list.txt').write_text(entries)
    data = ImageNet22K(ann_file='list.txt', data_root=str(tmp_path), pipeline=[])
    samples = [data.get_data_info(i) for i in range(2)]
    assert [data.metainfo['classes'][s['gt_label']] for s in samples] == ['organism', 'chipboard']


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of ImageNet-1K, and a folder of another name."""
    for folder in ('n02510455', 'n01440764', 'n02504013', 'mine'):
        write_image(tmp_path / 'val' / folder / 'x.jpg', (9, 9, 9))
    return tmp_path


def dataset(root: Path, **settings) -> ImageNet:
    return ImageNet(data_root=str(root), data_prefix=dict(img_path='val'), pipeline=[], **settings)


def test_folders_get_names_in_sorted_order(root: Path) -> None:
    data = dataset(root)
    assert data.metainfo['classes'] == ('mine', 'tench', 'Indian elephant', 'giant panda')
    assert [Path(data.get_data_info(i)['img_path']).parent.name for i in range(4)] == [
        *('mine', 'n01440764', 'n02504013', 'n02510455')
    ]
    assert [data.get_data_info(i)['gt_label'] for i in range(4)] == [0, 1, 2, 3]


def test_folders_of_imagenet_22k_get_names_too(root: Path) -> None:
    write_image(root / 'val' / 'n00007846' / 'x.jpg', (9, 9, 9))
    classes = dataset(root).metainfo['classes']
    assert classes == ('mine', 'person', 'tench', 'Indian elephant', 'giant panda')


def test_names_of_more_classes_come_from_a_file(root: Path, tmp_path: Path) -> None:
    """Two spellings of such files: of timm with a tab, of ImageNet with a blank."""
    names = tmp_path / 'names.txt'
    names.write_text('n01440764\ttench, Tinca tinca\nn02504013 elephant\n# no class\n\n')
    classes = dataset(root, names_file=str(names)).metainfo['classes']
    assert classes == ('mine', 'tench', 'elephant', 'n02510455')
    given = dataset(root, metainfo=dict(classes=('a', 'b', 'c', 'd')))
    assert given.metainfo['classes'] == ('a', 'b', 'c', 'd')


def test_classes_of_the_same_name_are_told_apart() -> None:
    synsets = dict(n1='crane', n2='crane', n3='heron')
    assert class_names(['n1', 'n2', 'n3'], synsets) == ('crane (n1)', 'crane (n2)', 'heron')


def test_errors_of_names_files(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names of classes '.*none.txt' cannot be read: No such"):
        dataset(root, names_file=str(tmp_path / 'none.txt'))
    (tmp_path / 'ids.txt').write_text('n01440764\n')
    with pytest.raises(ConfigError, match=r"ids.txt:1: 'n01440764' must be a WordNet id and a na"):
        dataset(root, names_file=str(tmp_path / 'ids.txt'))


def test_folders_of_imagenet_v2_are_numbers(tmp_path: Path) -> None:
    """As text, 10 would come before 2."""
    for label in (0, 2, 10, 207):
        write_image(tmp_path / str(label) / 'x.jpeg', (9, 9, 9))
    data = ImageNetV2(data_root=str(tmp_path), pipeline=[])
    samples = [data.get_data_info(i) for i in range(len(data))]
    assert all(int(Path(s['img_path']).parent.name) == s['gt_label'] for s in samples)
    assert {s['gt_label'] for s in samples} == {0, 2, 10, 207}
    assert data.metainfo['classes'][207] == 'golden retriever'
    assert len(data.metainfo['classes']) == 1000
