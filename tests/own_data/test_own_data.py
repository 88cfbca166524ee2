"""From a folder of your own classes to AP, following docs/own_masks.md, with its checks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from commands import ROOT, scalars, succeed, tool
from mmengine.config import Config

pytest.importorskip('mmdet')

from swinv2_dense.cli.common import check_config
from swinv2_dense.config_parts import datasets_of
from swinv2_dense.det.check_classes import check_classes
from swinv2_dense.errors import ConfigError
from swinv2_dense.own_data import read_classes, set_num_classes
from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset

PAGE = (ROOT / 'docs' / 'own_masks.md').read_text()
SNIPPETS = re.findall(r'```python\n(.*?)```', PAGE, re.S)
NAMES = ('wheel', 'tyre', 'tile', 'flag', 'starfish', 'red cross')
SMALL = """
_base_ = './own.py'
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)),
        window_size=4,
        init_cfg=None,
    ),
    neck=dict(in_channels=[16, 32, 64, 128]),
)
"""
QUICK = [
    'train_cfg.max_epochs=1',
    'model.roi_head.bbox_head.fc_out_channels=64',
    'train_dataloader.dataset.pipeline.2.scale=[(96,96),(128,128)]',
    'test_dataloader.dataset.pipeline.1.scale=(96,96)',
    'val_dataloader.dataset.pipeline.1.scale=(96,96)',
    'model.train_cfg.rpn_proposal.max_per_img=50',
    'model.test_cfg.rpn.max_per_img=50',
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
    *(f'{part}_dataloader.persistent_workers=False' for part in ('train', 'val', 'test')),
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated shapes with other names, in the documented layout."""
    root = tmp_path_factory.mktemp('own')
    write_dataset(root / 'shapes', ShapesSpec(size=96, train=8, val=4))
    (root / 'fruit' / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        shutil.move(root / 'shapes' / split, root / 'fruit' / split)
        shapes = root / 'shapes' / 'annotations' / f'instances_{split}.json'
        write_annotations(root / 'fruit', split, json.loads(shapes.read_text()), NAMES)
    return root / 'fruit'


def write_annotations(folder: Path, split: str, coco: dict, names: tuple[str, ...]) -> None:
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(names)]
    path = folder / 'annotations' / f'{split}.json'
    path.write_text(json.dumps({**coco, 'categories': categories}))


@pytest.fixture
def named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('OWN_DATA', str(folder))
    return folder


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's config, and below it one for a test: fewer channels, no weights."""
    mine = tmp_path_factory.mktemp('mine')
    (mine / 'own.py').write_text(SNIPPETS[0])
    (mine / 'small.py').write_text(SMALL)
    return mine / 'small.py'


def test_from_a_folder_to_ap(named, config, tmp_path, monkeypatch):
    work_dir = tmp_path / 'work'
    args = ['--work-dir', work_dir, '--cfg-options', *QUICK]
    printed = succeed('train', config, '--auto-scale-lr', *args)
    for name in NAMES:
        assert re.search(rf'\| {name} +\| ', printed), name
    checkpoint = torch.load(work_dir / 'epoch_1.pth', weights_only=False)
    assert tuple(checkpoint['meta']['dataset_meta']['classes']) == NAMES
    weights = checkpoint['state_dict']
    assert len(weights['roi_head.bbox_head.fc_cls.bias']) == len(NAMES) + 1
    assert len(weights['roi_head.mask_head.conv_logits.bias']) == len(NAMES)
    last = scalars(work_dir)[-1]

    args = ['--work-dir', tmp_path / 'test', '--cfg-options', *QUICK]
    succeed('test', config, work_dir / 'epoch_1.pth', '--show-dir', tmp_path / 'shown', *args)
    assert len(list((tmp_path / 'shown').glob('*'))) == 4
    (tested,) = (tmp_path / 'test').glob('*/*.json')
    metrics = json.loads(tested.read_text())
    for kind in ('bbox', 'segm'):
        assert 0 <= metrics[f'coco/{kind}_mAP'] <= 1
        assert metrics[f'coco/{kind}_mAP'] == pytest.approx(last[f'coco/{kind}_mAP'], abs=1e-3)
        assert {f'coco/{kind}_{name}_precision' for name in NAMES} <= set(metrics)

    monkeypatch.setenv('OWN_DATA', str(tmp_path / 'gone'))  # the trained config does without
    monkeypatch.chdir(tmp_path)
    snippet = SNIPPETS[1].replace('work_dirs/own/own.py', str(work_dir / 'small.py'))
    snippet = snippet.replace('work_dirs/own/epoch_12.pth', str(work_dir / 'epoch_1.pth'))
    exec(snippet.replace('folder/or/image.jpg', str(named / 'val' / '000000.png')))
    (prediction,) = (tmp_path / 'predictions' / 'preds').glob('*.json')
    assert set(json.loads(prediction.read_text())['labels']) <= set(range(len(NAMES)))


def test_a_missing_folder_is_reported_in_one_line(config, tmp_path, monkeypatch):
    monkeypatch.setenv('OWN_DATA', str(tmp_path / 'gone'))
    result = tool('train', config)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        f"error: annotation file '{tmp_path}/gone/annotations/train.json' does not exist; fix its "
        'name or data_root, for configs/_base_/datasets/own_instance.py with export OWN_DATA=FOLDER'
    )
    assert 'Traceback' not in result.stderr


# -------------------------------------------------------------------------- classes that disagree


@pytest.fixture
def own(named: Path, config: Path) -> Config:
    return Config.fromfile(config)


def check(cfg: Config, *loaders: str) -> None:
    check_config(cfg, loaders or ('train', 'val'))


def test_the_config_of_the_page_passes(own):
    check(own)
    check(own, 'test')


def test_heads_for_another_number_of_classes(own):
    own.model = set_num_classes(own.model, 80)
    own.model.roi_head.mask_head.num_classes = 6
    with pytest.raises(ConfigError) as error:
        check(own)
    assert (
        'model.roi_head.bbox_head.num_classes=80, but train_dataloader.dataset has 6 classes'
        in (str(error.value))
    )
    assert str(error.value).endswith('--cfg-options model.roi_head.bbox_head.num_classes=6')


def test_classes_left_at_those_of_coco(own):
    del own.train_dataloader.dataset.metainfo
    with pytest.raises(ConfigError, match=r'classes: 80 of 80 are not among the categories of .*'):
        check(own)


def test_a_class_that_the_file_lacks(own):
    own.val_dataloader.dataset.metainfo.classes = (*NAMES[:5], 'Red Cross')
    with pytest.raises(ConfigError, match=r'val_dataloader.* 1 of 6 .*, first Red Cross; it has'):
        check(own)


def test_one_class_without_a_comma(own):
    own.train_dataloader.dataset.metainfo.classes = 'wheel'
    with pytest.raises(ConfigError, match=r"classes='wheel' must be a tuple .* \('wheel',\)"):
        check(own)


def test_a_file_in_another_order(own, named, tmp_path):
    (tmp_path / 'annotations').mkdir()
    coco = json.loads((named / 'annotations' / 'val.json').read_text())
    write_annotations(tmp_path, 'val', coco, NAMES[::-1])
    own.val_dataloader.dataset.ann_file = str(tmp_path / 'annotations' / 'val.json')
    with pytest.raises(ConfigError, match='mmdet numbers classes in the order of the file'):
        check(own)
    own.val_dataloader.dataset.metainfo.classes = NAMES[::-1]
    with pytest.raises(ConfigError, match='train_dataloader.* val_dataloader.* must be identical'):
        check(own)
    check(own, 'train')


def test_wrapped_datasets_are_checked(own):
    inner = own.train_dataloader.dataset
    wrapped = dict(type='ConcatDataset', datasets=[inner, {**inner, 'metainfo': None}])
    own.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=wrapped)
    with pytest.raises(ConfigError, match=r'dataset\.datasets\[1\]\.metainfo\.classes: 80 of 80'):
        check(own)


def test_categories_are_found_anywhere_in_a_file(tmp_path):
    path = tmp_path / 'a.json'
    told = [dict(id=2, name='b', keypoints=['x', ']'], skeleton=[[1, 2]]), dict(id=1, name='a')]
    coco = dict(info=dict(about='"categories"', categories=[]), categories=told, images=[])
    for keys in (list(coco), list(coco)[::-1]):
        path.write_text(json.dumps({key: coco[key] for key in keys}, indent=1))
        assert read_classes(str(path)) == ('b', 'a')
    for text in ('', '[]', '{"categories": []}', '{"categories": [1]}', '{"categories": [{"na'):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r'a\.json is not in COCO format'):
            read_classes(str(path))


MMDET = {
    'htc/htc_r50_fpn_1x_coco.py': 6,  # three stages; the semantic branch keeps its 183
    'retinanet/retinanet_r50_fpn_1x_coco.py': 1,
    'dino/dino-4scale_r50_8xb2-12e_coco.py': 1,
    'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py': 3,
    'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py': 2,  # 133 classes, 80 of things
    'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py': 2,  # things, in the head and its fusion
    'mm_grounding_dino/grounding_dino_swin-l_pretrain_all.py': 1,  # 256 tokens
    'objects365/retinanet_r50_fpn_1x_objects365v2.py': 1,
    'lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py': 2,
    'pascal_voc/faster-rcnn_r50_fpn_1x_voc0712.py': 1,
    'bytetrack/bytetrack_yolox_x_8xb4-amp-80e_crowdhuman-mot17halftrain_test-mot17halfval.py': 0,
}


@pytest.mark.parametrize('name', MMDET)
def test_configs_of_mmdet_pass(name, tmp_path):
    """Without their files: heads against the classes in the library."""
    path = tmp_path / 'theirs.py'
    path.write_text(f"_base_ = 'mmdet::{name}'")
    cfg = Config.fromfile(path)
    loaders = ((part, cfg[f'{part}_dataloader'].dataset) for part in ('train', 'val', 'test'))
    check_classes(cfg.model, [found for loader in loaders for found in datasets_of(*loader)])
    if not MMDET[name]:
        with pytest.raises(ConfigError, match='no head of model'):
            set_num_classes(cfg.model, 7)
        return
    changed = set_num_classes(cfg.model, 7)
    assert len(re.findall(r"'num_(things_)?classes': 7\b", str(changed))) == MMDET[name]
    assert len(re.findall(r"'num_classes': 7\b", str(cfg.model))) == 0
    if 'semantic_head' in cfg.model.get('roi_head', {}):
        assert changed.roi_head.semantic_head.num_classes == 183
