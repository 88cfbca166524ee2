"""Files that a dataset would leave out without a word: images, label maps and videos."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import ConfigDict

pytest.importorskip('mmseg')
from mmseg.datasets import BaseSegDataset

from swinv2_dense.errors import ConfigError
from swinv2_dense.own_data.class_folders import labelled_videos
from swinv2_dense.seg import FolderSegDataset
from swinv2_dense.seg.check_classes import check_segmentation

MIXED = ('a.jpg', 'b.JPG', 'c.jpeg', 'd.png', 'deep/e.tiff', 'deep/f.bmp', 'g.Png', 'h.webp')


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def config(root: Path, kind: str = 'BaseSegDataset', **settings: object) -> ConfigDict:
    return ConfigDict(
        type=kind,
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=('ground', 'tree')),
        pipeline=[],
        **settings,
    )


def check(*datasets: ConfigDict, others: tuple[ConfigDict, ...] = ()) -> None:
    keys = ('train_dataloader.dataset', 'val_dataloader.dataset')
    check_segmentation(
        {}, list(zip(keys, datasets)), [('test_dataloader.dataset', d) for d in others]
    )


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    maps = [f'masks/{Path(name).with_suffix(".png")}' for name in MIXED]
    hidden = ('images/._a.jpg', 'images/notes.txt')
    return touch(tmp_path, *(f'images/{name}' for name in MIXED), *maps, *hidden)


def test_images_of_all_formats_are_taken(mixed):
    dataset = FolderSegDataset(
        data_root=str(mixed),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=('ground', 'tree')),
    )
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [f['img_path'] for f in found] == sorted(str(mixed / 'images' / n) for n in MIXED)
    for info in found:
        expected = Path(info['img_path'].replace('/images/', '/masks/')).with_suffix('.png')
        assert info['seg_map_path'] == str(expected) and expected.is_file()
        assert info['label_map'] is None and info['reduce_zero_label'] is False
    check(config(mixed, 'FolderSegDataset'))


def test_it_lists_what_mmseg_lists_where_that_is_all(tmp_path):
    names = [f'images/{name}.jpg' for name in ('b', 'a', 'deep/c')]
    touch(tmp_path, *names, *(name.replace('images', 'masks')[:-3] + 'png' for name in names))
    settings = {k: v for k, v in config(tmp_path).items() if k != 'type'}
    ours, theirs = (kind(**settings) for kind in (FolderSegDataset, BaseSegDataset))
    assert ours.load_data_list() == theirs.load_data_list()


def test_left_out_images_are_counted(mixed):
    message = (
        r'train_dataloader.dataset: 7 of 8 images in .*/images are not used because they end in '
    )
    with pytest.raises(ConfigError, match=message + r'\.JPG \(1\).*; the first is .*/b\.JPG\. Set'):
        check(config(mixed))
    with pytest.raises(ConfigError, match=r'7 of 8 .*the first is .*/a\.jpg'):
        check(config(mixed, img_suffix='.png'))


@pytest.mark.parametrize(
    'settings, names',
    [
        (dict(img_suffix='_left.png'), ['images/a_left.png', 'images/a_right.png', 'masks/a.png']),
        (dict(img_suffix='.jpg'), ['images/a.jpg', 'images/a.png', 'masks/a.png']),  # its depth
        (dict(data_prefix=dict(img_path='images')), ['images/a.jpg']),
        (
            dict(data_prefix=dict(img_path='images', seg_map_path='images')),
            ['images/a.jpg', 'images/a.png'],
        ),
        (
            dict(data_prefix=dict(img_path='images', seg_map_path='images/masks')),
            ['images/a.jpg', 'images/masks/a.png'],
        ),
    ],
)
def test_what_is_left_out_on_purpose_is_no_fault(settings, names, tmp_path):
    touch(tmp_path, *names)
    dataset = config(tmp_path)
    dataset.update(settings)
    check(dataset)
    if 'data_prefix' in settings:  # where maps lie among images, both take the same
        dataset.type = 'FolderSegDataset'
        check(dataset)


def test_a_list_of_names_is_a_choice(mixed):
    (mixed / 'list.txt').write_text('a\n')
    check(config(mixed, ann_file='list.txt'))


def test_maps_without_an_image_are_counted(tmp_path):
    names = ('images/a.jpg', 'masks/a.png', 'masks/b.png', 'masks/c.PNG')
    dataset = config(touch(tmp_path, *names))
    with pytest.raises(ConfigError, match=r'2 of 3 label maps in .*/masks have no .*/b\.png\. Add'):
        check(dataset)
    with pytest.raises(ConfigError, match='2 of 3 label maps'):
        check(config(tmp_path, 'FolderSegDataset'))


def test_splits_may_share_a_folder_of_maps(tmp_path):
    touch(tmp_path, 'train/a.jpg', 'val/b.jpg', 'masks/a.png', 'masks/b.png')
    train, val = config(tmp_path), config(tmp_path)
    train.data_prefix.img_path, val.data_prefix.img_path = 'train', 'val'
    check(train, val)
    check(train, others=(val,))
    with pytest.raises(ConfigError, match='1 of 2 label maps'):
        check(train)


def test_formats_that_are_not_read_and_doubles_are_named(tmp_path):
    touch(tmp_path, 'images/a.jpg', 'images/b.gif', 'masks/a.png', 'masks/b.png')
    for kind in ('BaseSegDataset', 'FolderSegDataset'):
        with pytest.raises(ConfigError, match=r'\.gif \(1\).* .*images/b\.gif'):
            check(config(tmp_path, kind))
    (tmp_path / 'images/b.gif').rename(tmp_path / 'images/a.png')
    with pytest.raises(ConfigError, match=r'has both a\.jpg and a\.png, which share one label map'):
        check(config(tmp_path, 'FolderSegDataset'))


def test_an_empty_folder_is_named(tmp_path):
    touch(tmp_path, 'images/a.txt', 'masks/a.png')
    with pytest.raises(ConfigError, match=r'no file in .*/images is an image; there are \.txt'):
        check(config(tmp_path, 'FolderSegDataset'))


def test_videos_of_other_formats_are_counted(tmp_path):
    touch(tmp_path, 'run/a.mp4', 'run/b.MOV', 'run/c.ts', 'jump/d.3gp', 'jump/e.txt', 'jump/.f.ts')
    with pytest.raises(ConfigError, match=r'2 of 4 videos .*\.(3gp|ts) \(1\).*jump/d\.3gp; conv'):
        labelled_videos(str(tmp_path), ('jump', 'run'))
