"""Configs that commit 386872b saved beside a training still train, resume and infer.

They name hooks, loops and modules of that time. `DATA` stands for the folder of the data.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_tree import write_tree
from commands import SUPPORT, succeed
from narrow_recognizer import write_clip

from swinv2_dense import engine

SAVED = SUPPORT / 'saved_configs'
ENGINE_NAMES = (  # `__all__` of swinv2_dense.engine at that commit, without DeepSpeed
    *('AnyDeviceDistributedDataParallel', 'BackboneWeightsHook', 'Bf16OptimWrapper'),
    *('CheckFilesHook', 'CheckLabelMapsHook', 'ConfigError', 'DataFaultsHook', 'LoadReportHook'),
    *('MissedValidationHook', 'NonFiniteError', 'NonFiniteHook', 'PreemptionHook'),
    *('ResumableEpochLoop', 'ResumableIterLoop', 'ResultsHook', 'ResumeHook', 'ShardedStrategy'),
    *('SwinV2OptimWrapperConstructor', 'WholeCheckpointHook', 'ZeroStrategy', 'read_class_folders'),
    *('read_class_names', 'read_classes', 'set_num_classes', 'swin_block_policy'),
)


def blocks(rng: np.random.Generator, *shape: int, largest: int = 256) -> np.ndarray:
    return rng.integers(0, largest, shape, dtype=np.uint8)


def write_detection(root: Path) -> Path:
    return write_tree(root, ('red', 'green')) / 'val/000000000000.jpg'


def write_segmentation(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('images', 'maps'):
            (root / kind / split).mkdir(parents=True)
        for i in range(2):
            labels = blocks(rng, 12, 16, largest=3).repeat(8, 0).repeat(8, 1)
            cv2.imwrite(str(root / f'images/{split}/{i}.png'), blocks(rng, 96, 128, 3))
            cv2.imwrite(str(root / f'maps/{split}/{i}.png'), labels)
    return root / 'images/val/0.png'


def write_videos(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for name in ('jump', 'run'):
            frames = blocks(rng, 16, 9, 12, 3).repeat(8, 1).repeat(8, 2)
            write_clip(root / split / name / '0.mp4', frames)
    return root / 'val/run/0.mp4'


KINDS = {  # what writes the data, the key of its length, its checkpoints, and a key of predictions
    'detector': (write_detection, 'max_epochs', 'epoch_{}.pth', 'bboxes'),
    'segmentor': (write_segmentation, 'max_iters', 'iter_{}.pth', 'areas'),
    'recognizer': (write_videos, 'max_epochs', 'epoch_{}.pth', 'top'),
}


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[pytest.mark.slow] * (n != 'segmentor')) for n in KINDS]
)
def test_it_trains_resumes_and_infers(name, tmp_path):
    write, length, checkpoint, key = KINDS[name]
    sample = write(tmp_path / 'data')
    config, work_dir = tmp_path / 'saved.py', tmp_path / 'work'
    config.write_text((SAVED / f'{name}.py').read_text().replace('DATA', str(tmp_path / 'data')))
    where = ('--work-dir', work_dir)
    succeed('train', config, *where)
    printed = succeed('train', config, *where, '--resume', '--cfg-options', f'train_cfg.{length}=2')
    first, last = (work_dir / checkpoint.format(n) for n in (1, 2))
    assert f'resumed from {first}' in printed
    succeed('infer', config, last, sample, '--out-dir', tmp_path / 'out')
    (prediction,) = (tmp_path / 'out/predictions').glob('*.json')
    assert key in json.loads(prediction.read_text())


@pytest.mark.parametrize('name', ENGINE_NAMES)
def test_names_of_engine_are_found_with_a_warning(name):
    with pytest.warns(FutureWarning, match=rf'swinv2_dense\.engine\.{name} is now ') as warned:
        found = getattr(engine, name)
    module, _, current = str(warned[0].message).rpartition(' is now ')[2].rpartition('.')
    assert found is getattr(importlib.import_module(module), current)


def test_other_names_of_engine_are_errors():
    with pytest.raises(AttributeError, match=r"'swinv2_dense\.engine' has no attribute 'Nothing'"):
        engine.Nothing  # noqa: B018
