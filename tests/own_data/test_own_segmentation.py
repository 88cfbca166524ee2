"""From a folder of your own label maps to mIoU: docs/own_label_maps.md, with its checks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from commands import ROOT, scalars, succeed, tool
from mmengine.config import Config
from PIL import Image

pytest.importorskip('mmseg')
from mmseg.apis import MMSegInferencer

from swinv2_dense.cli.common import check_config
from swinv2_dense.errors import ConfigError
from swinv2_dense.own_data import read_class_names
from swinv2_dense.quickstart.surfaces import SurfacesSpec, draw

PAGE = (ROOT / 'docs' / 'own_label_maps.md').read_text()
SNIPPETS = re.findall(r'```python\n(.*?)```', PAGE, re.S)
NAMES = ('road', 'grass verge', 'wall', 'sky', 'water', 'roof')
SMALL = """
_base_ = './own_seg.py'
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)),
        window_size=4,
        init_cfg=None,
    ),
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=32),
    auxiliary_head=dict(in_channels=64, channels=16),
)
"""
QUICK = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
    'param_scheduler.0.end=1',
    'param_scheduler.1.begin=1',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.pipeline.2.scale=(256,64)',
    'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
    *(f'{part}_dataloader.dataset.pipeline.1.scale=(256,64)' for part in ('val', 'test')),
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
    *(f'{part}_dataloader.persistent_workers=False' for part in ('train', 'val', 'test')),
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated surfaces with other names, in the tree of the page; some pixels unlabeled."""
    root = tmp_path_factory.mktemp('own') / 'street'
    for split, count in (('train', 4), ('val', 3)):
        for place in ('images', 'masks'):
            (root / place / split).mkdir(parents=True)
        for index in range(count):
            image, labels = draw(SurfacesSpec(size=96), split, index)
            labels[:, :10] = 255
            cv2.imwrite(str(root / 'images' / split / f'{index:04}.jpg'), image)
            cv2.imwrite(str(root / 'masks' / split / f'{index:04}.png'), labels)
    (root / 'classes.txt').write_text('\n'.join(NAMES) + '\n\n')
    return root


@pytest.fixture
def named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('OWN_DATA', str(folder))
    return folder


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's config, and below it one for a test: fewer channels, no weights."""
    mine = tmp_path_factory.mktemp('mine')
    (mine / 'own_seg.py').write_text(SNIPPETS[1])
    (mine / 'small.py').write_text(SMALL)
    return mine / 'small.py'


def mean_iou(truths: list[np.ndarray], found: list[np.ndarray]) -> float:
    """In percent, over the classes that occur in either; 255 is ignored."""
    ious = []
    for label in range(len(NAMES)):
        both = union = 0
        for truth, labels in zip(truths, found):
            counted = truth != 255
            a, b = (truth == label) & counted, (labels == label) & counted
            both, union = both + (a & b).sum(), union + (a | b).sum()
        if union:
            ious.append(both / union)
    return 100 * np.mean(ious)


@pytest.mark.slow
def test_from_a_folder_to_miou(named, config, tmp_path):
    work_dir = tmp_path / 'work'
    printed = succeed('train', config, '--work-dir', work_dir, '--cfg-options', *QUICK)
    for name in NAMES:
        assert re.search(rf'\| +{name} +\| ', printed), name
    checkpoint = torch.load(work_dir / 'iter_2.pth', weights_only=False)
    assert tuple(checkpoint['meta']['dataset_meta']['classes']) == NAMES
    weights = checkpoint['state_dict']
    for head in ('decode_head', 'auxiliary_head'):
        assert len(weights[f'{head}.conv_seg.bias']) == len(NAMES)

    args = ['--work-dir', tmp_path / 'test', '--cfg-options', *QUICK]
    outs = ['--out', tmp_path / 'maps', '--show-dir', tmp_path / 'shown']
    succeed('test', config, work_dir / 'iter_2.pth', *outs, *args)
    assert len(list((tmp_path / 'shown').iterdir())) == 3
    paths = sorted((tmp_path / 'maps').iterdir())
    assert [path.name for path in paths] == [f'{i:04}.png' for i in range(3)]
    truths = [np.asarray(Image.open(named / 'masks' / 'val' / path.name)) for path in paths]
    (tested,) = (tmp_path / 'test').glob('*/*.json')
    metrics = json.loads(tested.read_text())
    expected = mean_iou(truths, [np.asarray(Image.open(path)) for path in paths])
    assert metrics['mIoU'] == pytest.approx(expected, abs=0.0051)
    assert scalars(work_dir)[-1]['mIoU'] == pytest.approx(expected, abs=0.0051)

    segment = MMSegInferencer(str(config), str(work_dir / 'iter_2.pth'), device='cpu')
    segment.visualizer.dataset_meta = segment.model.dataset_meta
    assert tuple(segment.visualizer.dataset_meta['classes']) == NAMES
    found = segment(str(named / 'images' / 'val' / '0000.jpg'), out_dir=str(tmp_path / 'out'))
    assert found['predictions'].shape == truths[0].shape
    assert len(list((tmp_path / 'out' / 'vis').iterdir())) == 1


def test_color_maps_are_converted_as_documented(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'masks' / 'train').mkdir(parents=True)
    painted = np.zeros((2, 3, 3), np.uint8)
    painted[0, 1] = 128, 0, 0
    painted[1, 2] = 1, 2, 3
    Image.fromarray(painted).save('painted.png')
    exec(SNIPPETS[0], {})
    found = np.asarray(Image.open('masks/train/0001.png'))
    assert found.tolist() == [[0, 1, 0], [0, 0, 255]]


def test_the_config_of_the_page_passes(named, config):
    cfg = Config.fromfile(config)
    check_config(cfg, ('train', 'val'))
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[1].end == 20000
    assert cfg.param_scheduler[0].end == cfg.param_scheduler[1].begin == 1500
    assert [cfg.model[head].num_classes for head in ('decode_head', 'auxiliary_head')] == [6, 6]


def test_a_missing_folder_is_reported_in_one_line(config, tmp_path, monkeypatch):
    monkeypatch.setenv('OWN_DATA', str(tmp_path / 'gone'))
    result = tool('train', config)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        f"error: class names '{tmp_path}/gone/classes.txt': there is no such file; create it "
        'with one class per line, starting with id 0 of the label maps'
    )
    assert 'Traceback' not in result.stderr


def test_class_names_from_a_file(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_bytes(b'\xef\xbb\xbfroad\r\n  grass verge \r\n\r\nsky')
    assert read_class_names(str(path)) == ('road', 'grass verge', 'sky')
    for content, problem in (
        (b'', 'is empty'),
        (b'\n \n', 'is empty'),
        (b'a\nb\na\n', 'repeats a;'),
        (b'\xff\xfea\x00', 'is not UTF-8 text'),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=f'classes.txt {problem}'):
            read_class_names(str(path))
