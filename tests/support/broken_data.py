"""Datasets with truly broken files, a model that reads them, and runs of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from clips import write_clip, write_cut, write_sound
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmengine.structures import InstanceData

BROKEN = ('cut.mp4', 'empty.mp4', 'one.mp4', 'sound.mp4')


@MODELS.register_module()
class FrameMeans(BaseModel):
    """Scores clips by their mean pixel, and predicts the true boxes."""

    def __init__(self, data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs: list, data_samples: list, mode: str = 'tensor') -> Any:
        if mode == 'loss':
            return dict(loss=self.weight.sum())
        for clip, sample in zip(inputs, data_samples):
            if 'gt_label' in sample:
                mean = clip.double().mean()
                sample.pred_score = torch.stack([mean.sin(), (3 * mean).cos()])
            else:
                true = sample.gt_instances
                sample.pred_instances = InstanceData(
                    bboxes=true.bboxes.tensor, labels=true.labels, scores=torch.ones(len(true))
                )
        return data_samples


def write_videos(root: Path, sound: int = 8) -> Path:
    """`all.txt` with intact and broken clips in turn, and `whole.txt` with the intact ones."""
    root.mkdir(parents=True, exist_ok=True)
    names = [f'{i}.mp4' for i in range(sound)]
    for i, name in enumerate(names):
        write_clip(root / name, 6 + i)
    write_cut(root / 'cut.mp4', kept=0.02)
    (root / 'empty.mp4').touch()
    write_clip(root / 'one.mp4', 1)
    write_sound(root / 'sound.mp4')
    mixed = names[:2] + list(BROKEN) + names[2:]
    (root / 'all.txt').write_text(''.join(f'{name} {i % 2}\n' for i, name in enumerate(mixed)))
    whole = [line for line in (root / 'all.txt').open() if line.split()[0] not in BROKEN]
    (root / 'whole.txt').write_text(''.join(whole))
    return root


def videos(root: Path, ann_file: str = 'all.txt', test_mode: bool = False) -> dict:
    return dict(
        type='VideoDataset',
        serialize_data=False,  # which collects garbage each time
        ann_file=str(root / ann_file),
        data_prefix=dict(video=str(root)),
        test_mode=test_mode,
        pipeline=[
            dict(type='VideoInit'),
            dict(type='SampleFrames', clip_len=4, frame_interval=1, test_mode=test_mode),
            dict(type='VideoDecode'),
            dict(type='Resize', scale=(32, 32), keep_ratio=False),
            dict(type='FormatShape', input_format='NCTHW'),
            dict(type='PackActionInputs', meta_keys=('filename',)),
        ],
    )


def write_pairs(root: Path, count: int = 8) -> Path:
    """Images with label maps; the jpg of 2 is truncated, the map of 5 is text."""
    for folder in ('images', 'maps'):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        cv2.imwrite(str(root / f'images/{i}.jpg'), rng.integers(0, 256, (32, 48, 3), np.uint8))
        cv2.imwrite(str(root / f'maps/{i}.png'), rng.integers(0, 3, (32, 48), np.uint8))
    whole = (root / 'images/2.jpg').read_bytes()
    (root / 'images/2.jpg').write_bytes(whole[: len(whole) // 2])
    (root / 'maps/5.png').write_text('no labels')
    return root


def pairs(root: Path) -> dict:
    return dict(
        type='BaseSegDataset',
        serialize_data=False,
        data_prefix=dict(img_path=str(root / 'images'), seg_map_path=str(root / 'maps')),
        img_suffix='.jpg',
        metainfo=dict(classes=('a', 'b', 'c'), palette=[[0] * 3] * 3),
        reduce_zero_label=False,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
    )


def write_boxes(root: Path, count: int = 8) -> Path:
    """Images in COCO format; the mask of image 3 has a wrong size, the jpg of 6 is empty."""
    root.mkdir(parents=True)
    images, annotations = [], []
    for i in range(count):
        cv2.imwrite(str(root / f'{i}.jpg'), np.full((32, 48, 3), 9 * i, np.uint8))
        images.append(dict(id=i, file_name=f'{i}.jpg', height=32, width=48))
        crowd = dict(size=[32, 48], counts=[100, 50, 32 * 48 - 150])
        if i == 3:
            crowd = dict(size=[20, 20], counts=[100, 50, 250])
        box = dict(bbox=[4, 5, 20, 20], area=400, iscrowd=0, segmentation=crowd)
        annotations.append(dict(id=i + 1, image_id=i, category_id=1, **box))
    (root / '6.jpg').write_bytes(b'')
    categories = [dict(id=1, name='thing')]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'all.json').write_text(json.dumps(content))
    return root


def boxes(root: Path, test_mode: bool = False) -> dict:
    return dict(
        type='CocoDataset',
        ann_file=str(root / 'all.json'),
        data_prefix=dict(img=str(root)),
        metainfo=dict(classes=('thing',)),
        test_mode=test_mode,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=True),
            dict(
                type='PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape'),
            ),
        ],
    )


def runner(
    scope: str, work_dir: Path, *, epochs: int = 2, workers: int = 0, hook: Any = (), **parts: Any
) -> Runner:
    """A run of `FrameMeans`; `parts` hold the datasets `train`, `val` and `test`."""
    cfg: dict[str, Any] = {}
    for name, dataset in parts.items():
        if name in ('train', 'val', 'test'):
            cfg[f'{name}_dataloader'] = dict(
                batch_size=2,
                num_workers=workers,
                persistent_workers=workers > 0 and epochs % 2 == 0,
                sampler=dict(type='DefaultSampler', shuffle=name == 'train'),
                dataset=dataset,
            )
            cfg[f'{name}_cfg'] = dict(by_epoch=True, max_epochs=epochs) if name == 'train' else {}
        else:
            cfg[name] = dataset
    if 'train' in parts:
        cfg['optim_wrapper'] = dict(optimizer=dict(type='SGD', lr=0.1))
    return Runner(
        model=dict(type='FrameMeans'),
        work_dir=str(work_dir),
        default_scope=scope,
        custom_hooks=[dict(type='DataFaultsHook', **dict(hook))],
        randomness=dict(seed=0),
        experiment_name=f'{work_dir.name}-{work_dir.parent.name}',
        log_level='WARNING',
        **cfg,
    )
