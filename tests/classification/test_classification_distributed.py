"""Classifiers in two processes: ZeRO-1 and FSDP train as DDP, and a test counts each image once."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
import torch
from commands import run_here, scalars
from launching import TORCHRUN, launch
from narrow import ARCH
from narrow_classifier import COLORS, write_image
from torch.testing import assert_close

from swinv2_dense import config_path
from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.distributed.parameters import unwrapped_name

pytestmark = pytest.mark.slow
RUNS = ('plain', 'zero1', 'fsdp', 'adapted', 'adapted_fsdp')
ADAPTED = """
_base_ = './plain.py'
model = dict(backbone=dict(type='LowRankSwinTransformerV2', low_rank=4))
"""
CONFIG = f"""
_base_ = [
    __import__('swinv2_dense').config_path('_base_/models/classifier.py'),
    __import__('swinv2_dense').config_path('_base_/schedules/adamw_300e.py'),
    __import__('swinv2_dense').config_path('_base_/runtime/classification.py'),
]
model = dict(
    backbone=dict(arch=dict(_delete_=True, **{ARCH!r}), window_size=4, drop_path_rate=0.0),
    head=dict(num_classes=6, in_channels=128),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='PackClassificationInputs'),
]


def loader(split):
    return dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=split == 'train'),
        dataset=dict(
            type='ImageListDataset', data_root=DATA, ann_file=f'{{split}}.txt', pipeline=pipeline
        ),
    )


train_dataloader, val_dataloader, test_dataloader = loader('train'), loader('val'), loader('val')
val_evaluator = test_evaluator = dict(type='ClassificationAccuracy')
train_cfg = dict(max_epochs=2)
param_scheduler = None
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=1e-3))
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings by name; seven images to test, which two do not divide."""
    folder = tmp_path_factory.mktemp('two')
    for split, count in (('train', 12), ('val', 7)):
        lines = []
        for i in range(count):
            write_image(folder / 'data' / split / f'{i}.png', COLORS[i % 6], i)
            lines.append(f'{split}/{i}.png {i % 6}\n')
        (folder / 'data' / f'{split}.txt').write_text(''.join(lines))
    (folder / 'plain.py').write_text(CONFIG.replace('DATA', repr(str(folder / 'data'))))
    (folder / 'adapted.py').write_text(ADAPTED)
    for name, base in (('zero1', 'plain'), ('fsdp', 'plain'), ('adapted_fsdp', 'adapted')):
        fragment = config_path(f'_base_/schedules/{name.removeprefix("adapted_")}.py')
        (folder / f'{name}.py').write_text(f"_base_ = ['./{base}.py', {fragment!r}]\n")
    for name in RUNS:
        command = ('tools/train.py', folder / f'{name}.py', '--work-dir', folder / name)
        flags = ('--launcher', 'pytorch', '--seed', 0)
        code, printed = launch(sys.executable, *TORCHRUN, *command, *flags)
        assert code == 0, printed[-4000:]
    return folder


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    state = read_checkpoint_file(folder / name / 'epoch_2.pth')['state_dict']
    return {unwrapped_name(key): value for key, value in state.items()}


@pytest.mark.parametrize('name', ['zero1', 'fsdp', 'adapted_fsdp'])
def test_they_train_as_ddp(trained: Path, name: str) -> None:
    """With mixup, CutMix and clipping; FSDP sums gradients in another order."""
    base = 'adapted' if name.startswith('adapted') else 'plain'
    found, expected = weights(trained, name), weights(trained, base)
    assert_close(found, expected, atol=2e-6, rtol=1e-5)
    assert float(expected['head.fc.weight'].std()) > 0.019


def test_every_image_counts_once(trained: Path, tmp_path: Path) -> None:
    """The accuracy of two processes is that of one, over seven images."""
    dump = tmp_path / 'a.pkl'
    flags = ('--work-dir', tmp_path / 'test', '--dump', dump)
    result = run_here('test', trained / 'plain.py', trained / 'plain' / 'epoch_2.pth', *flags)
    assert result.returncode == 0, result.stderr
    samples = pickle.loads(dump.read_bytes())
    hits = [int(s['pred_score'].argmax()) == int(s['gt_label']) for s in samples]
    assert len(hits) == 7
    assert scalars(trained / 'plain')[-1]['acc/top1'] == pytest.approx(sum(hits) / 7)
