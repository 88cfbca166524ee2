"""Each task on CUDA without a GPU: a training step and a test of a narrow model, on fake tensors.

The backbone never waits for the device, see tests/models/test_devices.py. Losses and
post-processing do, mostly in the mm packages: where they ask for numbers, there are none, so they
get made-up ones, and operators that mmcv has compiled are replaced by their shapes. What this
package itself asks for is listed here. Not run: the deformable attention of DINO and Mask2Former,
which needs sizes of maps on the host, and resizing and pasting predicted masks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import fake_cuda
import numpy as np
import pytest
import torch
from fake_cuda import autocast, to_fake_cuda
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS, init_default_scope
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from narrow import ARCH, narrow_model
from narrow_classifier import narrow_classifier
from narrow_detr import narrow_detr
from narrow_recognizer import narrow_recognizer
from narrow_segmentor import narrow_segmentor
from torch import Tensor

import swinv2_dense
from swinv2_dense.tasks import task_of

ROOT = Path(__file__).parents[1]
PACKAGE = Path(swinv2_dense.__file__).parent
ODD = (61, 91)  # no multiple of a stride or window
FUSED = {'flash', 'efficient', 'math'}


def narrow_pretraining(model: Any) -> None:
    model.backbone.arch = ARCH


def labels(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.long, device='cuda')


def detection(size: tuple) -> tuple[Tensor, list]:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    meta = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), size)
    sample = DetDataSample(metainfo=dict(meta, img_id=1, scale_factor=(1.0, 1.0)))
    sample.gt_instances = InstanceData(
        bboxes=torch.empty(3, 4, device='cuda'),
        labels=labels(3),
        masks=BitmapMasks(np.zeros((3, *size), np.uint8), *size),
    )
    sample.gt_sem_seg = PixelData(sem_seg=labels(1, *size))
    return torch.empty(1, 3, *size, device='cuda'), [sample]


def segmentation(size: tuple) -> tuple[Tensor, list]:
    from mmseg.structures import SegDataSample

    sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, pad_shape=size))
    sample.gt_sem_seg = PixelData(data=labels(1, *size))
    return torch.empty(2, 3, *size, device='cuda'), [sample, sample]


def video(size: tuple) -> tuple[Tensor, list]:
    from mmaction.structures import ActionDataSample

    sample = ActionDataSample()
    sample.gt_label = labels(1)
    return torch.empty(1, 1, 3, 5, *size, device='cuda'), [sample]


def classification(size: tuple) -> tuple[Tensor, list]:
    from swinv2_dense.classification.samples import ClassificationSample

    sample = ClassificationSample()
    sample.gt_label = labels(1)
    return torch.empty(2, 3, *size, device='cuda'), [sample, sample]


def pretraining(size: tuple) -> tuple[Tensor, list]:
    sample = BaseDataElement(mask=torch.ones(2, 3, device='cuda'))
    return torch.empty(2, 3, 64, 96, device='cuda'), [sample, sample]


class Task(NamedTuple):
    """A model, and what it asks the device for outside of the backbone.

    Attributes:
        test: The mode of the test.
        waits: Files of this package that wait in a training step or a test.
        training: Whether a training step goes through, or the features alone.
        size: Of an image, (H, W).
    """

    config: str
    narrow: Callable[[Any], None]
    inputs: Callable[[tuple], tuple[Tensor, list]]
    test: str = 'predict'
    waits: frozenset[str] = frozenset()
    training: bool = True
    size: tuple[int, int] = ODD


PLAIN_DETR = frozenset({'detector.py', 'head.py', 'coordinates.py', 'match_cost.py'})
TASKS = {
    'HTC++': Task(
        'detection/htc++_swinv2-b-w16_1xb2-bf16-3x_coco-1600',
        narrow_model,
        detection,
        'tensor',
        size=(64, 96),  # labels of its semantic branch have an eighth of it
    ),
    'Cascade R-CNN': Task(
        'detection/cascade-rcnn_swinv2-t-w16_1xb4-bf16-3x_coco', narrow_model, detection
    ),
    'Plain-DETR': Task(
        'detr/plain-detr_swinv2-s-w16_16xb1-1x_coco', narrow_detr, detection, waits=PLAIN_DETR
    ),
    'DINO': Task(
        'detr/dino-4scale_swinv2-t-w16_8xb2-1x_coco', narrow_detr, detection, training=False
    ),
    'UperNet': Task(
        'segmentation/upernet_swinv2-t-w16_1xb16-bf16-160k_ade20k-512x512',
        narrow_segmentor,
        segmentation,
        'tensor',
    ),
    'video': Task(
        'video/swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb',
        narrow_recognizer,
        video,
    ),
    'classification': Task(
        'classification/swinv2-t-w16_8xb128-bf16-300e_in1k-256',
        narrow_classifier,
        classification,
        'tensor',
    ),
    'SimMIM': Task(
        'pretraining/simmim_swinv2-t-w12_16xb128-bf16-800e_in1k-192',
        narrow_pretraining,
        pretraining,
    ),
}
QUICK = {'UperNet', 'SimMIM'}


def assert_clean(recorder: fake_cuda.DeviceRecorder, task: Task) -> None:
    """Nothing meets two devices, and only known places of this package wait."""
    own = [o for o in recorder.offenses if Path(o.file).is_relative_to(PACKAGE)]
    assert {Path(o.file).name for o in own} <= task.waits, own
    assert not [o for o in own if o.reason == 'meets two devices']
    assert recorder.calls and recorder.kernels == FUSED


@pytest.mark.parametrize('dtype', [pytest.param(None, marks=pytest.mark.slow), torch.bfloat16])
@pytest.mark.parametrize(
    'name', [pytest.param(x, marks=() if x in QUICK else pytest.mark.slow) for x in TASKS]
)
def test_task(name, dtype, monkeypatch):
    task = TASKS[name]
    cfg = Config.fromfile(ROOT / f'configs/{task.config}.py')
    task.narrow(cfg.model)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = MODELS.build(cfg.model)
    for hook in task_of(cfg).model_hooks:
        if 'Fp32' in hook:  # which keep parts of the model in fp32 under autocast
            HOOKS.build(dict(type=hook)).before_run(SimpleNamespace(model=model))
    fake_cuda.fake_mmcv_ops(monkeypatch)
    with fake_cuda.fake_cuda(made_up=True) as recorder:
        to_fake_cuda(model.train())
        inputs, samples = task.inputs(task.size)
        with autocast(dtype):
            if not task.training:
                features = model.extract_feat(inputs)
                assert_clean(recorder, task)
                assert all(x.is_cuda for x in features)
                return
            losses = model(inputs, samples, mode='loss')
        total = sum(sum(v) if isinstance(v, list) else v for k, v in losses.items() if 'loss' in k)
        assert total.is_cuda and total.dtype == torch.float32
        total.backward()
        assert_clean(recorder, task)
        for parameter, value in model.named_parameters():
            assert not value.requires_grad or value.grad.is_cuda, parameter
    with fake_cuda.fake_cuda(made_up=True) as recorder, torch.no_grad(), autocast(dtype):
        inputs, samples = task.inputs(task.size)
        to_fake_cuda(model.eval())(inputs, samples, mode=task.test)
        assert_clean(recorder, task)
