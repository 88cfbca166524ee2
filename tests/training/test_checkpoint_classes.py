"""Class names in a checkpoint compared with those of the data, for every task."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from coco_tree import write_tree
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import BaseLoop
from narrow import narrow_model, shrink_images, use_data
from narrow_recognizer import narrow_recognizer, shrink_clips, write_clip
from narrow_segmentor import narrow_segmentor, shrink, use_tree, write_segmentation_tree

import swinv2_dense
from swinv2_dense.cli.common import check_config
from swinv2_dense.cli.infer import main as infer
from swinv2_dense.cli.test import main as run_test
from swinv2_dense.cli.train import main as run_train
from swinv2_dense.errors import CheckpointError, ConfigError
from swinv2_dense.training import checkpoint_classes
from swinv2_dense.training.checkpoint_classes import (
    CheckpointClassesHook,
    classes_of_checkpoint,
)

FRUIT = ('apple', 'pear', 'plum')


class Loop(BaseLoop):
    def __init__(self, classes: tuple[str, ...] | None) -> None:
        metainfo = {} if classes is None else dict(classes=classes)
        self.dataloader = SimpleNamespace(dataset=SimpleNamespace(metainfo=metainfo))

    def run(self) -> None:
        raise AssertionError('nothing is trained here')


def load(
    trained: object, present: object, *, loop: str = 'test', resume: bool = False, **model: object
) -> list[tuple[str, int]]:
    """Load a checkpoint with classes `trained` for data with classes `present`; return the log."""
    loops = {f'_{name}_loop': dict() for name in ('train', 'val', 'test')}
    runner = SimpleNamespace(_load_from='old.pth', _resume=resume, cfg=dict(model=model), **loops)
    setattr(runner, f'_{loop}_loop', Loop(present))
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            checkpoint_classes,
            'print_log',
            lambda message, logger=None, level=logging.INFO: said.append((message, level)),
        )
        meta = {} if trained is None else dict(dataset_meta=dict(classes=trained))
        CheckpointClassesHook().after_load_checkpoint(runner, dict(state_dict={}, meta=meta))
    return said


DIFFERENT = {
    ('apple', 'plum', 'pear'): "class 1 is 'pear' in the checkpoint and 'plum' in the data "
    r'\(the same 3 names in another order\)',
    ('apple', 'pears', 'plum'): "class 1 is 'pear' in the .* 'pears' in the data \\(1 of 3 differ",
    ('apple', 'pear'): "class 2 is 'plum' in the checkpoint and none in the data .*has 3.* data 2",
    ('a', 'apple', 'pear', 'plum'): "class 0 is 'apple' in the checkpoint and 'a' in the data",
}


@pytest.mark.parametrize('present', DIFFERENT)
@pytest.mark.parametrize('how', [dict(loop='test'), dict(loop='train', resume=True)])
def test_other_names_or_order_are_an_error_in_testing_and_resuming(present, how):
    with pytest.raises(CheckpointError, match=f'old.pth .*{DIFFERENT[present]}') as error:
        load(FRUIT, present, **how)
    assert '\n' not in str(error.value) and 'same order' in str(error.value)


def test_fine_tuning_on_the_same_number_of_other_classes_is_a_warning():
    ((message, level),) = load(FRUIT, ('cat', 'dog', 'cow'), loop='train')
    assert level == logging.WARNING
    assert "'apple' in the checkpoint and 'cat' in the data" in message
    assert 'apple, pear, plum; those of the data are cat, dog, cow' in message
    assert load(FRUIT, ('cat', 'dog'), loop='train') == []  # LoadReportHook reports the head


def test_equal_classes_log_nothing():
    assert load(FRUIT, FRUIT) == load(list(FRUIT), FRUIT, loop='train', resume=True) == []


def test_what_cannot_be_compared_is_noted():
    ((message, level),) = load(None, FRUIT)
    assert 'checkpoint old.pth has no class names' in message and level == logging.INFO
    ((message, _),) = load(FRUIT, None)
    assert 'test_dataloader.dataset has no class names' in message
    assert load(None, None) == []


def test_models_without_classes_are_not_compared():
    assert load(FRUIT, ('cat',), type='RPN') == []
    assert load(FRUIT, ('cat',), type='GroundingDINO', language_model=dict()) == []
    with pytest.raises(CheckpointError):
        load(FRUIT, ('cat',), type='SegTTAModel', module=dict(type='EncoderDecoder'))


@pytest.mark.parametrize(
    'meta, names',
    [
        (dict(dataset_meta=dict(classes=FRUIT, palette=None)), FRUIT),
        (dict(dataset_meta=dict(CLASSES=list(FRUIT))), FRUIT),
        (dict(CLASSES=FRUIT, epoch=12), FRUIT),
        (dict(dataset_meta=dict(classes='fruit.txt')), ()),
        (dict(dataset_meta=None), ()),
        (None, ()),
        ('text', ()),
    ],
)
def test_names_are_found_in_checkpoints_of_all_versions(meta, names):
    assert classes_of_checkpoint(dict(state_dict={}, meta=meta)) == names


# ------------------------------------------------------------------------------- through the tools


def detector(root: Path) -> Config:
    from mmdet.datasets import CocoDataset

    cfg = config('detection/mask-rcnn_swinv2-t-w16_1xb4-bf16-1x_coco.py')
    narrow_model(cfg.model)
    shrink_images(cfg, 8)
    use_data(cfg, write_tree(root / 'coco', CocoDataset.METAINFO['classes']))
    return cfg


def segmentor(root: Path) -> Config:
    cfg = config('segmentation/upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py')
    narrow_segmentor(cfg.model)
    shrink(cfg, 8)
    use_tree(cfg, write_segmentation_tree(root / 'ade', 'ADE20KDataset'))
    return cfg


def recognizer(root: Path) -> Config:
    """A config with the list file and the label map of `prepare_data.py kinetics`."""
    cfg = config('video/swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb.py')
    narrow_recognizer(cfg.model)
    shrink_clips(cfg, 8)
    write_clip(root / 'videos' / '0.mp4', np.zeros((16, 48, 64, 3), np.uint8))
    for split in ('train', 'val'):
        (root / f'kinetics400_{split}_list_videos.txt').write_text('0.mp4 3\n')
    (root / 'kinetics400_label_map.txt').write_text('\n'.join(f'motion {i}' for i in range(400)))
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        split = 'train' if part == 'train' else 'val'
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(
            ann_file=str(root / f'kinetics400_{split}_list_videos.txt'),
            data_root='',
            data_prefix=dict(video=str(root / 'videos')),
        )
    return cfg


def config(name: str) -> Config:
    return Config.fromfile(swinv2_dense.config_path(name))


def save(cfg: Config, root: Path, names: list[str]) -> list[str]:
    """Arguments of the tools: the config, and a checkpoint of random weights for these classes."""
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    cfg.work_dir = str(root / 'work')
    cfg.dump(root / 'mine.py')
    meta = dict(dataset_meta=dict(classes=names), epoch=0, iter=0)
    torch.save(dict(state_dict=model.state_dict(), meta=meta, message_hub={}), root / 'old.pth')
    return [str(root / 'mine.py'), str(root / 'old.pth')]


def trained_names(kind: str) -> list[str]:
    if kind == 'recognizer':
        return [f'motion {i}' for i in range(400)]
    if kind == 'detector':
        from mmdet.datasets import CocoDataset as Dataset
    else:
        from mmseg.datasets import ADE20KDataset as Dataset
    return list(Dataset.METAINFO['classes'])


@pytest.mark.parametrize(
    'task',
    [pytest.param(detector, marks=pytest.mark.slow), segmentor, recognizer],
    ids=lambda t: t.__name__,
)
@pytest.mark.filterwarnings('ignore')
def test_every_tool_compares_names(task, tmp_path):
    names = trained_names(task.__name__)
    names[1], names[2] = names[2], names[1]
    old, checkpoint = save(task(tmp_path), tmp_path, names)
    message = f'class 1 is {names[1]!r} in the checkpoint and {names[2]!r} in the data'
    with pytest.raises(CheckpointError, match=message):
        run_test([old, checkpoint])
    if task is recognizer:
        return
    with pytest.raises(CheckpointError, match=message):
        run_train([old, '--resume', checkpoint])
    source = next(p for p in tmp_path.rglob('*') if p.suffix == '.jpg')
    args = [old, checkpoint, str(source), '--out-dir', str(tmp_path / 'out'), '--device', 'cpu']
    with pytest.raises(CheckpointError, match=message):
        infer(args)
    if task is not segmentor:
        return
    listed = tmp_path / 'classes.txt'
    listed.write_text('\n'.join(trained_names('segmentor')))
    with pytest.raises(ConfigError, match=f'--classes has {names[2]!r} where .* has {names[1]!r}'):
        infer([*args, '--classes', str(listed)])
    assert not (tmp_path / 'out').exists()
    listed.write_text('\n'.join(f'renamed {i}' for i in range(150)))
    infer([*args, '--classes', str(listed)])
    assert 'renamed' in next((tmp_path / 'out').rglob('*.json')).read_text()


def test_training_stores_names_of_list_files_and_all_splits_agree(tmp_path):
    from swinv2_dense.video.label_map import name_classes

    cfg = recognizer(tmp_path)
    name_classes(cfg)
    for part in ('train', 'val', 'test'):
        assert list(cfg[f'{part}_dataloader'].dataset.metainfo.classes) == trained_names(
            'recognizer'
        )
    check_config(cfg, ('train', 'val'))
    few = recognizer(tmp_path)
    few.model.cls_head.num_classes = 5  # the map is of another dataset
    name_classes(few)
    assert 'metainfo' not in few.train_dataloader.dataset


def test_splits_of_a_segmentation_dataset_list_the_same_classes(tmp_path):
    cfg = segmentor(tmp_path)
    names = trained_names('segmentor')
    check_config(cfg, ('train', 'val'))
    cfg.val_dataloader.dataset.metainfo = dict(classes=tuple(names[::-1]))
    with pytest.raises(ConfigError, match="class 0 is 'wall' in train_.* and 'flag' in val_"):
        check_config(cfg, ('train', 'val'))
