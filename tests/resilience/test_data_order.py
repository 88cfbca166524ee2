"""Batches depend only on the seed and on the progress of the training."""

from __future__ import annotations

import hashlib
import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import Dataset

from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset
from swinv2_dense.resilience import data_order
from swinv2_dense.resilience.data_order import IndexedBatch, ResumableLoader, SeededFetch, Share

pytest.importorskip('mmdet')

from mmdet.utils import register_all_modules

pytestmark = pytest.mark.filterwarnings('ignore')
IMAGES = 7
DETECTION = dict(
    type='MultiImageMixDataset',
    dataset=dict(
        type='CocoDataset',
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=('disc', 'ring', 'square', 'triangle', 'star', 'cross')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RunLengthInstaBoost', action_prob=(1, 0, 0), aug_ratio=1.0),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='RandomChoiceResize', scales=[(96, 96), (112, 112), (128, 128)]),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='Pad', size=(128, 128)),
        ],
    ),
    pipeline=[
        dict(type='CopyPaste', max_num_pasted=3),
        dict(type='PackDetInputs'),
    ],
)
SAMPLERS = [dict(type='DefaultSampler'), dict(type='InfiniteSampler')]


@DATASETS.register_module()
class Places(Dataset):
    """Samples equal to their index, alternating between portrait and landscape."""

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> int:
        return index

    def get_data_info(self, index: int) -> dict:
        return dict(width=1 + index % 2, height=1.5)


@pytest.fixture(autouse=True)
def scope() -> Any:
    with DefaultScope.overwrite_default_scope('mmdet'):
        register_all_modules(init_default_scope=False)
        import swinv2_dense.det  # noqa: F401

        yield


@pytest.fixture(scope='module')
def shapes(tmp_path_factory: Any) -> Path:
    root = tmp_path_factory.mktemp('shapes')
    write_dataset(root, ShapesSpec(train=IMAGES, val=1))
    return root


def built(dataset: dict, seed: int = 0, **settings: Any) -> Any:
    settings = dict(batch_size=2, sampler=dict(type='DefaultSampler')) | settings
    return Runner.build_dataloader(ConfigDict(dataset=dataset, **settings), seed=seed)


def digests(root: Path, seed: int, num_skipped: int, count: int, num_workers: int) -> list:
    """Digests of the batches of a detection training set, by image."""
    cfg = ConfigDict(DETECTION)
    cfg.dataset.data_root = str(root)
    batch_sampler = dict(type='AspectRatioBatchSampler')
    loader = ResumableLoader(
        built(cfg, num_workers=num_workers, batch_sampler=batch_sampler), endless=True
    )
    loader.start(seed, 0, num_skipped)
    torch.rand(num_skipped + num_workers)  # other draws make no difference
    found = []
    for batch in itertools.islice(loader, count):
        found.append(batch and [_digest(*sample) for sample in zip(*batch.values())])
    return found


def _digest(image: torch.Tensor, sample: Any) -> str:
    masks = sample.gt_instances.masks.masks
    return hashlib.sha256(image.numpy().tobytes() + masks.tobytes()).hexdigest()


def test_detection_samples_depend_on_their_place_only(shapes):
    """InstaBoost, copy-paste, random sizes and colors; with more workers, from the middle on."""
    pytest.importorskip('instaboostfast')
    whole = digests(shapes, 0, 0, 7, num_workers=0)
    images = [image for batch in whole for image in batch]
    assert len(set(images)) == len(images) == 13  # other draws in the second epoch, of 6
    assert digests(shapes, 0, 3, 7, num_workers=2) == [None] * 3 + whole[3:]
    assert digests(shapes, 1, 0, 1, num_workers=0) != whole[:1]


@pytest.mark.parametrize('sampler', SAMPLERS, ids=lambda s: s['type'])
@pytest.mark.parametrize('kind', [None, 'AspectRatioBatchSampler'])
def test_the_order_is_that_of_mmengine(sampler, kind, monkeypatch):
    """Over several epochs; the skipped batches are the first ones."""
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda _: None)
    settings = dict(sampler=sampler) | (dict(batch_sampler=dict(type=kind)) if kind else {})
    theirs = _InfiniteDataloaderIterator(built(dict(type='Places'), **settings))
    wanted = [next(theirs) for _ in range(14)]
    for num_skipped in (0, 5, 9):
        ours = ResumableLoader(built(dict(type='Places'), **settings), endless=True)
        ours.start(0, 0, num_skipped)
        found = list(itertools.islice(ours, 14))
        assert found == [None] * num_skipped + wanted[num_skipped:]


def test_an_epoch_ends():
    loader = built(dict(type='Places'))
    ours = ResumableLoader(loader, endless=False)
    for epoch, num_skipped in ((0, 0), (1, 0), (1, 3), (2, 4)):
        loader.sampler.set_epoch(epoch)
        wanted = list(loader)
        ours.start(0, epoch, num_skipped)
        assert list(ours) == [None] * num_skipped + wanted[num_skipped:]
        assert len(ours) == len(wanted) == 4


class Drawing(Dataset):
    """Samples of random numbers from Python, numpy and torch."""

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> tuple:
        return index, random.random(), np.random.rand(), torch.rand(()).item()


def test_a_global_batch_is_the_same_on_one_rank_and_on_two(monkeypatch):
    def samples(rank: int, world_size: int, indices: list[int]) -> list:
        monkeypatch.setattr(data_order, 'get_world_size', lambda: world_size)
        batch = IndexedBatch([Share((0, 5), rank, indices)])
        return SeededFetch(Drawing(), seed=3)(batch)

    alone = samples(0, 1, [10, 11, 12, 13])
    shared = [samples(rank, 2, [10 + rank, 12 + rank]) for rank in range(2)]
    assert alone == [shared[0][0], shared[1][0], shared[0][1], shared[1][1]]
    assert len({draw for sample in alone for draw in sample[1:]}) == 12


def test_a_dataset_smaller_than_a_batch_is_an_error():
    loader = ResumableLoader(built(dict(type='Places'), batch_size=8, drop_last=True), endless=True)
    loader.start(0, 0, 0)
    with pytest.raises(ValueError, match='train_dataloader yields no batch.*drop_last=True'):
        next(iter(loader))
