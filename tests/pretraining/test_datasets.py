"""Folders of images without labels."""

from __future__ import annotations

import re
import shutil

import pytest
from mmengine.logging import MMLogger

from swinv2_dense.errors import ConfigError
from swinv2_dense.pretraining.datasets import UnlabeledImages, UnlabeledVideos


@pytest.fixture
def folder(tmp_path):
    for index in range(100):
        path = (
            tmp_path / 'images' / f'{index % 3}/deep' / f'{index}.{"JPG" if index % 2 else "png"}'
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / 'images' / 'notes.txt').touch()
    (tmp_path / 'images' / '0' / '._1.jpg').touch()
    return tmp_path / 'images'


def paths(folder, **settings):
    dataset = UnlabeledImages(data_root=str(folder), pipeline=[], **settings)
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def test_images_at_any_depth_are_found_once(folder):
    assert sorted(paths(folder)) == sorted(
        str(p) for p in folder.rglob('*.*') if p.suffix in ('.JPG', '.png') and p.name[0] != '.'
    )


def test_held_out_images_stay_held_out(folder, tmp_path):
    train, held = (paths(folder, part=part, held_out=0.2) for part in ('train', 'held_out'))
    assert sorted(train + held) == sorted(paths(folder)) and not set(train) & set(held)
    assert 8 <= len(held) <= 35
    (folder / 'new.png').touch()
    moved = shutil.move(folder, tmp_path / 'elsewhere')
    again = paths(moved, part='held_out', held_out=0.2)
    names = {str(path).replace(str(folder), '') for path in held}
    assert names <= {path.replace(str(moved), '') for path in again}
    assert len(again) - len(held) in (0, 1)


def test_one_file_of_a_tiny_folder_is_held_out(folder):
    for path in sorted(folder.rglob('*.*'))[3:]:
        path.unlink()
    held, train = (paths(folder, part=part) for part in ('held_out', 'train'))
    assert len(held) == 1 and sorted(held + train) == sorted(paths(folder))


def test_formats_that_cannot_be_read_are_counted(folder, tmp_path, caplog):
    (folder / 'a.heic').touch()
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    assert len(paths(folder)) == 100
    logger.removeHandler(caplog.handler)
    assert re.search(r'1 images are not used.*\.heic \(1\); the first is a\.heic', caplog.text)
    (tmp_path / 'other').mkdir()
    shutil.move(folder / 'a.heic', tmp_path / 'other' / 'a.heic')
    with pytest.raises(ConfigError, match=r'has no images .*; \.heic \(1\) cannot be read'):
        paths(tmp_path / 'other')


def test_videos_are_found_too(folder):
    for name in ('a.MP4', '0/b.webm', 'c.gif'):
        (folder / name).touch()
    dataset = UnlabeledVideos(data_root=str(folder), pipeline=[])
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['filename'] for info in infos] == [str(folder / n) for n in ('0/b.webm', 'a.MP4')]


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(part='test'), "part='test' must be one of all, train, held_out"),
        (dict(held_out=1.0), 'held_out=1.0 must be at least 0'),
        (dict(part='held_out', held_out=0.0), "has 100 images, but none for part='held_out'"),
    ],
)
def test_mistakes_are_named(folder, settings, message):
    with pytest.raises(ConfigError, match=message):
        paths(folder, **settings)


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"folder of images '.*/no/?' does not exist"):
        paths(tmp_path / 'no')
    with pytest.raises(ConfigError, match=r'has no images \(\.jpg, '):
        paths(tmp_path)
