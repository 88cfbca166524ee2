"""What is wrong with a segmentor's config is said before training starts."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from mmengine.config import Config, ConfigDict
from PIL import Image

pytest.importorskip('mmseg')

from swinv2_dense.errors import ConfigError
from swinv2_dense.seg.check_classes import check_segmentation
from swinv2_dense.seg.test_options import write_label_maps

CLASSES = ('wall', 'floor', 'sky')


def write_pair(root: Path) -> None:
    """An image and its map."""
    for folder, mode, suffix in (('images', 'RGB', '.jpg'), ('maps', 'L', '.png')):
        (root / folder).mkdir()
        Image.new(mode, (10, 6)).save(root / folder / f'a{suffix}')


def config(root: Path, **changes) -> tuple[ConfigDict, list]:
    """A segmentor's heads, and one dataset."""
    model = ConfigDict(
        type='EncoderDecoder',
        decode_head=dict(type='UPerHead', num_classes=3),
        auxiliary_head=[
            dict(type='FCNHead', num_classes=3),
            dict(type='STDCHead', num_classes=2),  # edges
        ],
    )
    dataset = ConfigDict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='maps'),
        metainfo=dict(classes=CLASSES),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )
    for key, value in changes.items():
        ConfigDict.__setitem__(dataset, key, value)
    return model, [('train_dataloader.dataset', dataset)]


def test_heads_must_have_the_number_of_classes(tmp_path):
    write_pair(tmp_path)
    model, datasets = config(tmp_path)
    check_segmentation(model, datasets)
    wrong = copy.deepcopy(model)
    wrong.decode_head.num_classes = wrong.auxiliary_head[0].num_classes = 19
    message = (
        r'model\.decode_head\.num_classes=19, but train_dataloader\.dataset has 3 classes: .*'
        r'--cfg-options model\.decode_head\.num_classes=3 model\.auxiliary_head\.0\.num_classes=3'
    )
    for given in (wrong, ConfigDict(type='SegTTAModel', module=wrong)):
        with pytest.raises(ConfigError, match=message):
            check_segmentation(given, datasets)


@pytest.mark.parametrize(
    'test_cfg, message',
    [
        (dict(mode='slid'), r"test_cfg\.mode='slid' must be whole or slide"),
        (
            dict(mode='slide', crop_size=(512, 512), stride=(512, 640)),
            r'test_cfg\.stride=\(512, 640\) must be .* at most crop_size=\(512, 512\)',
        ),
    ],
)
def test_test_windows_leave_no_gaps(tmp_path, test_cfg, message):
    model, _ = config(tmp_path)
    model.test_cfg = test_cfg
    with pytest.raises(ConfigError, match=message):
        check_segmentation(model, [])


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(img_suffix='.jpeg'), r"no file in .*images ends in img_suffix='\.jpeg'; .* \.jpg$"),
        (dict(ann_file='list.txt'), r"ann_file='.*list\.txt' lists no images"),
        (dict(pipelin=[]), r'train_dataloader\.dataset: .*unexpected keyword argument'),
    ],
)
def test_an_empty_split_is_an_error(tmp_path, changes, message):
    write_pair(tmp_path)
    (tmp_path / 'list.txt').touch()
    model, datasets = config(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message):
        check_segmentation(model, datasets)


def test_a_file_instead_of_the_output_folder_is_an_error(tmp_path):
    (tmp_path / 'maps.png').touch()
    with pytest.raises(ConfigError, match=r"--out='.*maps\.png' is a file; give a folder"):
        write_label_maps(Config(dict()), str(tmp_path / 'maps.png'))
