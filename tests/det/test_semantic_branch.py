"""A semantic branch without what it learns from is named before training starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import ROOT, run_here
from mmengine.config import Config, ConfigDict

from swinv2_dense.cli.common import check_config
from swinv2_dense.config_parts import datasets_of
from swinv2_dense.det.check_semantic_branch import check_semantic
from swinv2_dense.errors import ConfigError
from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset

TRAIN = 'train_dataloader.dataset.dataset.'
OPTIONS = (
    r'--cfg-options model\.roi_head\.semantic_head=None '
    r'model\.roi_head\.semantic_roi_extractor=None'
)

FIXED = """
model = dict(data_preprocessor=dict(batch_augments=[
    dict(type='BatchFixedSizePad', size=(160, 160), pad_seg=True, seg_pad_value=255)]))
"""


def config(root: Path, **changes) -> ConfigDict:
    """The parts of an HTC++ config that matter, with data; `changes` by dotted key."""
    for folder in ('train2017', 'stuffthingmaps/train2017'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    load = dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True)
    cfg = Config(
        dict(
            default_scope='mmdet',
            model=dict(
                data_preprocessor=dict(type='DetDataPreprocessor', pad_mask=True, pad_seg=True),
                roi_head=dict(semantic_head=dict(type='FusedSemanticHead')),
            ),
            train_dataloader=dict(
                dataset=dict(
                    type='RepeatDataset',
                    dataset=dict(
                        data_root=str(root),
                        data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
                        pipeline=[dict(type='LoadImageFromFile'), load],
                    ),
                )
            ),
        )
    )
    cfg.merge_from_dict(changes)
    return cfg


def test_a_sound_config_passes(tmp_path):
    check_config(config(tmp_path), ('train',))
    # Maps in object storage and those of a panoptic dataset pass, too.
    remote = {TRAIN + 'data_root': 's3://bucket/coco'}
    check_config(config(tmp_path, **remote), ('train',))
    panoptic = {TRAIN + 'pipeline': [dict(type='mmdet.LoadPanopticAnnotations')]}
    cfg = config(tmp_path, **panoptic)  # building it would need panopticapi
    check_semantic(cfg.model, datasets_of('train', cfg.train_dataloader.dataset), None)
    fixed = dict(pad_seg=False, batch_augments=[dict(type='BatchFixedSizePad', pad_seg=True)])
    check_config(config(tmp_path, **{'model.data_preprocessor': fixed}), ('train',))


def test_no_maps_are_needed_without_the_branch_or_without_training(tmp_path):
    lacking = {TRAIN + 'data_prefix': dict(seg=None), 'model.data_preprocessor.pad_seg': False}
    check_config(config(tmp_path, **lacking, **{'model.roi_head.semantic_head': None}), ('train',))
    check_config(config(tmp_path, **lacking), ())


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            {TRAIN + 'data_prefix.seg': 'stuff/'},
            r"dataset\.data_prefix\.seg='.*/stuff/': there is no such folder\. .*"
            r'stuffthingmaps_trainval2017\.zip, see data/README\.md\. .*' + OPTIONS,
        ),
        ({TRAIN + 'data_prefix.seg': None}, 'has no folder of semantic maps, seg=FOLDER.*zip'),
        ({TRAIN + 'pipeline.1.with_seg': False}, r'loads no maps; set with_seg=True in LoadAnn'),
        ({'model.data_preprocessor.pad_seg': False}, r'pad_seg=False: .* Set pad_seg=True, seg_'),
        (
            {'model.data_preprocessor.batch_augments': [dict(type='Pad', pad_seg=False)]},
            r'model\.data_preprocessor\.batch_augments\.0\.pad_seg=False: .* Set pad_seg=True',
        ),
    ],
)
def test_what_is_missing_is_reported(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        check_config(config(tmp_path, **changes), ('train',))


def test_every_dataset_is_checked(tmp_path):
    cfg = config(tmp_path)
    sound = cfg.train_dataloader.dataset.dataset
    lacking = ConfigDict(sound, data_prefix=dict(img='train2017/'))
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[sound, lacking])
    with pytest.raises(ConfigError, match=r'dataset\.datasets\[1\]\.data_prefix has no'):
        check_config(cfg, ('train',))
    lacking.data_prefix.seg = 'gone/'
    key = r'train_dataloader\.dataset\.datasets\.1\.data_prefix'
    pad = r'model\.data_preprocessor\.pad_seg=False'
    remedy = rf'{OPTIONS} {pad} {key}\._delete_=True {key}\.img=train2017/$'
    with pytest.raises(ConfigError, match=remedy):
        check_config(cfg, ('train',))


def test_the_sibling_without_the_branch_is_suggested(tmp_path):
    text = config(tmp_path, **{TRAIN + 'data_prefix.seg': 'gone/'}).pretty_text
    path = tmp_path / 'htc++_swinv2-t_coco.py'
    path.write_text(text)
    with pytest.raises(ConfigError, match=OPTIONS):
        check_config(Config.fromfile(path), ('train',))
    sibling = tmp_path / 'htc++-without-semantic_swinv2-t_coco.py'
    sibling.touch()
    with pytest.raises(ConfigError, match=f'without them, use .*{sibling.name[5:]}'):
        check_config(Config.fromfile(path), ('train',))


@pytest.mark.filterwarnings('ignore')  # of the libraries, in a process that sees them first
@pytest.mark.parametrize('preprocessor', ['', FIXED], ids=['padded to the batch', 'to a size'])
def test_the_remedy_trains(tmp_path, preprocessor):
    pytest.importorskip('mmdet')
    write_dataset(tmp_path / 'shapes', ShapesSpec(train=2, val=1))
    (quickstart,) = ROOT.glob('configs/quickstart/htc*.py')
    config = tmp_path / 'config.py'
    config.write_text(f'_base_ = {str(quickstart)!r}\n{preprocessor}')
    prefix = Config.fromfile(config).train_dataloader.dataset.data_prefix
    shutil.rmtree(tmp_path / 'shapes' / prefix.seg)
    options = [
        f'train_dataloader.dataset.data_root={tmp_path}/shapes/',
        *('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False'),
        *('train_dataloader.batch_size=2', 'train_cfg.max_iters=2'),
        *('param_scheduler.0.end=1', 'param_scheduler.1.begin=1'),
        *('default_hooks.checkpoint.interval=2', 'default_hooks.logger.interval=1'),
    ]
    words = ['train', config, '--no-validate', '--work-dir', tmp_path / 'work', '--cfg-options']
    result = run_here(*words, *options)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
    assert prefix.seg in line
    remedy = line.partition('set --cfg-options ')[2].split()
    result = run_here(*words, *options, *remedy)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 's2.loss_mask' in result.stdout and 'loss_semantic_seg' not in result.stdout
