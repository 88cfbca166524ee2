"""The command plan: counts by hand, memory compared with measured trainings, and its output."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import ROOT, SUPPORT, run_here
from mmengine.config import Config
from mmengine.registry import DefaultScope
from printed_tables import rows_of
from torch import nn

from swinv2_dense import SwinTransformerV2
from swinv2_dense.cli.plan import FITS, advice, moments_of
from swinv2_dense.costs import counts
from swinv2_dense.costs import training_step as plan
from swinv2_dense.costs.input_size import training_size
from swinv2_dense.costs.training_step import Costs
from swinv2_dense.errors import ConfigError
from swinv2_dense.tasks import task_of

ARCH = dict(embed_dims=16, depths=(2, 2), num_heads=(1, 2))
COSTS = Costs(
    parameters=[600, 100, 300, 200], trainable=[600, 300, 100], blocks=[300, 500],
    kept=7000, working=50, macs=10**12,
)  # fmt: skip


def test_memory_by_hand():
    """1200 parameters, 1000 of which learn; in fp32, on two GPUs."""
    states = dict(parameters=4800, gradients=4000, optimizer=8000, activations=7000)
    alone = plan.memory(COSTS, 'DDP', 1)
    assert {k: v for k, v in alone.items() if v} == states | {'workspace': 50}
    two = {scheme: plan.memory(COSTS, scheme, 2) for scheme in plan.SCHEMES}
    assert two['DDP'] == alone | {'DDP gradient buckets': 4000}
    # 600 against 300 and 100: a parameter is not divided.
    assert two['ZeRO-1'] == two['DDP'] | dict(optimizer=8 * 600)
    halves = dict(parameters=2400, gradients=2000, optimizer=4000)
    # 400 are outside blocks, with their gradient; of the largest block the gradient and another.
    assert two['FSDP'] == alone | halves | {'gathered parameters': 4 * (2 * 400 + 3 * 500)}


def test_what_is_sent_by_hand():
    sent = {scheme: plan.communication(COSTS, scheme, 4) for scheme in plan.SCHEMES}
    assert sent == {'DDP': 6000, 'ZeRO-1': 9000, 'FSDP': 7200 + 3000}
    assert plan.communication(COSTS, 'FSDP', 1) == 0
    computing, sending = plan.step_seconds(COSTS, 'DDP', 4, 100, 0.5, 1000)
    assert computing == pytest.approx(2e12 / 50e12) and sending == 6


def test_macs_of_a_step_are_those_that_torch_counts():
    """Matrix products only. Attention is a custom operator, so its plain form is counted, which
    keeps the logits: its backward pass has four products instead of five.
    """
    from torch.utils.flop_counter import FlopCounterMode

    size = (64, 64)
    for with_cp in (False, [True, False]):
        model = SwinTransformerV2(
            ARCH, window_size=4, with_cp=with_cp, out_indices=(0, 1), attention_backend='plain'
        )
        model.train()
        with FlopCounterMode(display=False) as counter:
            maps = model(torch.randn(1, 3, *size, requires_grad=True))
            sum(m.sum() for m in maps).backward()
        attention = sum(part.attention for part in counts.count(model, size))
        expected = plan.backbone_macs(model, size) - (plan.ATTENTION - 3) * attention
        assert expected == pytest.approx(counter.get_total_flops() / 2, rel=0.02)


def test_what_a_backbone_keeps_is_what_a_real_step_keeps():
    """And with checkpointing: the inputs of its blocks."""
    size, kept = (64, 96), {}
    for with_cp in (False, [True, False]):
        model = SwinTransformerV2(ARCH, window_size=4, with_cp=with_cp, out_indices=(0, 1))
        kept[bool(with_cp)], working = plan.backbone_memory(model, size, 2)
        if not with_cp:
            real = counts.Kept(model)
            with real.hooks:
                model(torch.randn(2, 3, *size))
            assert kept[False] == pytest.approx(real.take(), rel=0.02)
    first = model.layers[0].blocks
    inside = 0
    x = torch.randn(2, 16, 24, 16)
    for block in first:
        real = counts.Kept(model)
        with real.hooks:
            out = block(x.requires_grad_())
        inside += real.take()
        x = out.detach()
    map_bytes = x.numel() * 4
    # The map between the blocks and the one before them stay; the rest of what they keep goes.
    assert kept[False] - kept[True] == pytest.approx(inside - 2 * map_bytes, rel=0.1)
    assert working > inside / 2


def measured(*case: object) -> tuple[int, int]:
    script = SUPPORT / 'training_memory.py'
    command = [sys.executable, '-W', 'ignore', str(script), *map(str, case)]
    result = subprocess.run(command, text=True, capture_output=True, timeout=1800)
    assert result.returncode == 0, result.stderr[-2000:]
    planned, found = result.stdout.split()[-2:]
    return int(planned), int(found)


SLOW = pytest.mark.slow
CASES = [  # arch, images, side, checkpointing, bf16
    ('t', 2, 256, 0, 0),
    pytest.param(('t', 4, 256, 1, 0), marks=SLOW),
    pytest.param(('t', 4, 256, 0, 1), marks=SLOW),
    pytest.param(('s', 2, 256, 0, 0), marks=SLOW),
    pytest.param(('s', 2, 256, 1, 1), marks=SLOW),
    pytest.param(('b', 2, 256, 0, 0), marks=SLOW),
    pytest.param(('b', 2, 256, 1, 1), marks=SLOW),
]


@pytest.mark.slow
@pytest.mark.parametrize('case', CASES, ids=str)
def test_planned_memory_is_what_a_training_takes(case):
    """UperNet with AdamW; within 15 %."""
    pytest.importorskip('mmseg')
    planned, found = measured(*case)
    assert planned == pytest.approx(found, rel=0.15)


SIZES = {
    'detection/htc++_swinv2-l-w32_32xb2-3x_coco-1536': (1536, 1536),
    'detection/htc_swinv2-t-w16_1xb4-bf16-1x_coco': (800, 1333),
    'segmentation/upernet_swinv2-t-w16_1xb8-bf16-80k_cityscapes-512x1024': (512, 1024),
    'video/swinv2-tiny-p244-w888_in1k-pre_8xb8-bf16-32x2x1-30e_kinetics400-rgb': (32, 256, 256),
}


@pytest.mark.parametrize('name', SIZES)
def test_size_of_the_pipeline(name):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    assert training_size(cfg, task_of(cfg)) == SIZES[name]
    cfg.train_dataloader.dataset = dict(pipeline=[dict(type='LoadImageFromFile')])
    with pytest.raises(ConfigError, match='give it with --size'):
        training_size(cfg, task_of(cfg))


def size_of(scope: str, *steps: dict) -> tuple[int, ...]:
    """Of steps as a pipeline has them; of video with 8 frames."""
    frames = [dict(type='SampleFrames', clip_len=8)] if scope == 'mmaction' else []
    loader = dict(dataset=dict(pipeline=[*frames, *steps]))
    cfg = Config(dict(default_scope=scope, train_dataloader=loader))
    return training_size(cfg, task_of(cfg))


def step(kind: str, **settings: object) -> dict:
    return dict(type=kind, **settings)


SHORT = step('Resize', scale=(-1, 256))
LARGE = step('Resize', scale=(1333, 800), keep_ratio=True)
DETR = [
    [step('RandomChoiceResize', scales=[(480, 1333), (800, 1333)], keep_ratio=True)],
    [step('RandomCrop', crop_type='absolute_range', crop_size=(9, 600))],
]


@pytest.mark.parametrize(
    'scope, steps, size',
    [
        ('mmdet', [step('Resize', scale=640)], (640, 640)),
        ('mmdet', [step('RandomResize', scale=(60, 40), ratio_range=(0.5, 2.0))], (80, 120)),
        ('mmdet', [step('RandomResize', scale=[(60, 40), (60, 50)])], (50, 60)),
        ('mmdet', [step('RandomChoiceResize', scales=[480, 512])], (512, 512)),
        ('mmdet', [step('RandomChoiceResize', scales=(480, 512))], (512, 480)),
        ('mmdet', [step('ResizeShortestEdge', scale=800, max_size=1333)], (800, 1333)),
        (
            'mmseg',
            [
                step(
                    'RandomChoiceResize',
                    scales=[256, 512],
                    resize_type='ResizeShortestEdge',
                    max_size=2048,
                )
            ],
            (512, 2048),
        ),
        ('mmdet', [step('RandomChoice', transforms=DETR)], (800, 1333)),
        ('mmdet', [step('RandomChoice', transforms=[LARGE, SHORT])], (800, 1333)),
        ('mmdet', [LARGE, step('RandomApply', transforms=DETR[1])], (800, 1333)),
        ('mmdet', [LARGE, step('Compose', transforms=DETR[1])], (600, 600)),
        ('mmdet', [LARGE, step('RandomCrop', crop_type='relative', crop_size=(0.6, 0.6))],
         (800, 1333)),
        ('mmdet', [LARGE, step('RandomCrop', crop_type='relative_range', crop_size=(1, 1))],
         (800, 1333)),
        ('mmdet', [step('mmdet.Resize', scale=64), step('mmdet.RandomCrop', crop_size=(32, 16))],
         (16, 32)),
        ('mmaction', [SHORT, step('RandomCrop', size=224)], (8, 224, 224)),
        (
            'mmaction',
            [SHORT, step('RandomResizedCrop'), step('Resize', scale=(99, 88), keep_ratio=False)],
            (8, 88, 99),
        ),
        ('mmaction', [step('Resize', scale=(256, 340))], (8, 256, 340)),  # the ratio is kept
    ],
)  # fmt: skip
def test_size_of_other_pipelines(scope, steps, size):
    assert size_of(scope, *steps) == size


@pytest.mark.parametrize(
    'scope, steps',
    [
        ('mmdet', [step('RandomCrop', crop_type='relative_range', crop_size=(0.6, 0.6))]),
        ('mmdet', [LARGE, step('Resize', scale_factor=2.0)]),
        ('mmdet', [LARGE, step('FixShapeResize', width=640, height=640)]),
        ('mmseg', [step('ResizeShortestEdge', scale=512)]),
        ('mmaction', [SHORT]),
        ('mmaction', [step('Resize', scale=0.5)]),
    ],
)
def test_a_size_that_a_pipeline_does_not_say(scope, steps):
    with pytest.raises(ConfigError, match='give it with --size'):
        size_of(scope, *steps)


@pytest.mark.parametrize(
    'scope, crop',
    [
        ('mmdet', step('RandomCrop', crop_size=(50, 30))),
        ('mmdet', step('RandomCrop', crop_type='absolute_range', crop_size=(30, 30))),
        ('mmdet', step('CenterCrop', crop_size=(50, 30))),
        ('mmseg', step('RandomCrop', crop_size=(50, 30))),
        ('mmseg', step('RandomCrop', crop_size=30)),
        ('mmseg', step('CenterCrop', crop_size=(50, 30))),
        ('mmaction', step('RandomCrop', size=30)),
        ('mmaction', step('CenterCrop', crop_size=(50, 30))),
        ('mmaction', step('ThreeCrop', crop_size=(50, 60))),
    ],
)
def test_the_order_of_sides_is_that_of_the_transforms(scope, crop):
    """Each library's own transform, on an image of 60 x 70."""
    pytest.importorskip(scope)
    transforms = importlib.import_module(f'{scope}.registry').TRANSFORMS
    importlib.import_module(f'{scope}.datasets.transforms')
    image = np.zeros((60, 70, 3), np.uint8)
    with DefaultScope.overwrite_default_scope(scope):
        transform = transforms.build(crop)
    found = transform(
        dict(img=image, imgs=[image], img_shape=(60, 70), gt_seg_map=image[..., 0], seg_fields=[])
    )
    cropped = found['imgs'][0] if scope == 'mmaction' else found['img']
    assert size_of(scope, crop)[-2:] == cropped.shape[:2]


@pytest.mark.parametrize(
    'kind, settings',
    [
        ('AdamW', {}),
        ('Adam', dict(amsgrad=True)),
        ('NAdam', {}),
        ('RAdam', {}),
        ('Adamax', {}),
        ('Adadelta', {}),
        ('Adagrad', {}),
        ('RMSprop', {}),
        ('RMSprop', dict(momentum=0.9, centered=True)),
        ('SGD', dict(lr=0.1)),
        ('SGD', dict(lr=0.1, momentum=0.9, nesterov=True)),
    ],
)
def test_what_an_optimizer_keeps_is_what_it_has_after_a_step(kind, settings):
    weight = nn.Parameter(torch.ones(7))
    optimizer = getattr(torch.optim, kind)([weight], **settings)
    weight.square().sum().backward()
    optimizer.step()
    kept = [x for x in optimizer.state[weight].values() if torch.is_tensor(x) and x.numel() == 7]
    assert moments_of(dict(type=kind, **settings)) == len(kept)
    assert moments_of(dict(type=getattr(torch.optim, kind), **settings)) == len(kept)


def test_one_moment_and_an_average_by_hand():
    """Of the COSTS above, on two GPUs: the average is of all 1200, whole on each."""
    costs = replace(COSTS, moments=1, averages=1)
    rows = {scheme: plan.memory(costs, scheme, 2) for scheme in plan.SCHEMES}
    assert [rows[scheme]['optimizer'] for scheme in plan.SCHEMES] == [4000, 4 * 600, 2000]
    assert {rows[scheme]['averaged weights'] for scheme in plan.SCHEMES} == {4800}


CONFIG = ROOT / 'configs/segmentation/upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'
ADVICE = {
    'DDP': 'Fits as it is.',
    'ZeRO-1': 'Fits with ZeRO-1: add configs/_base_/schedules/zero1.py to _base_.',
    'FSDP': 'Fits with FSDP: add configs/_base_/schedules/fsdp.py to _base_.',
}


@pytest.mark.filterwarnings('ignore')  # of the libraries, in a process that sees them first
@pytest.mark.parametrize(
    'gpu_memory, scheme',
    [pytest.param(3, None, marks=SLOW), (3.8, 'FSDP'), pytest.param(4, 'ZeRO-1', marks=SLOW)],
)
def test_the_tool(gpu_memory, scheme):
    pytest.importorskip('mmseg')
    result = run_here('plan', CONFIG, '--gpus', 8, '--gpu-memory', gpu_memory)
    assert result.returncode == 0, result.stderr
    rows = rows_of(result.stdout)
    assert '60.0 M parameters, products in fp32, 2 images of 512 x 512 per GPU' in result.stdout
    assert '8 GPUs: 16 images per step' in result.stdout
    whole = 60000662 * 4 / 2**30
    parameters = [float(x) for x in rows['parameters']]
    assert parameters == pytest.approx([whole, whole, whole / 8], abs=0.005)
    totals = dict(zip(plan.SCHEMES, map(float, rows['total'])))
    fits = [name for name, total in totals.items() if total <= 0.9 * gpu_memory]
    assert (fits or [None])[0] == scheme  # of the totals that are printed
    assert rows[f'fits {gpu_memory:g} GB'] == ['yes' if s in fits else 'no' for s in totals]
    last = result.stdout.splitlines()[-1]
    assert last == ADVICE[scheme] if scheme else last.startswith('Fits with none of them. ')


@pytest.mark.filterwarnings('ignore')
def test_the_tool_reads_the_optimizer_and_the_average(tmp_path):
    pytest.importorskip('mmseg')
    bases = [str(CONFIG), str(ROOT / 'configs/_base_/schedules/ema.py')]
    outputs = []
    for optimizer in (dict(type='SGD', lr=0.1, momentum=0.9), dict(type='Adafactor', lr=0.1)):
        file = tmp_path / f'{optimizer["type"]}.py'
        wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=optimizer)
        file.write_text(f'_base_ = {bases}\noptim_wrapper = {wrapper}\n')
        result = run_here('plan', file, '--gpus', 8, '--size', 64, 64)
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    one, two = (f'{moments * 60000662 * 4 / 2**30:.2f}' for moments in (1, 2))
    sgd, unknown = map(rows_of, outputs)
    assert sgd['averaged weights'] == unknown['averaged weights'] == [one] * 3
    assert sgd['optimizer'][0] == one and unknown['optimizer'][0] == two
    line = "optim_wrapper.optimizer.type='Adafactor' is unknown: counted like AdamW, 2 moments."
    assert line in outputs[1].splitlines() and 'is unknown' not in outputs[0]


def test_the_first_scheme_that_fits_is_named():
    costs = replace(COSTS, blocks=[150] * 8)
    found = {name: sum(plan.memory(costs, name, 8).values()) for name in plan.SCHEMES}
    assert found['DDP'] > found['ZeRO-1'] > found['FSDP']
    for name, total in found.items():
        gpu = SimpleNamespace(gpus=8, gpu_memory=total / 2**30 / FITS)
        assert advice(costs, gpu) == ADVICE[name]


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'flags, message',
    [
        (['--gpus', 0], '--gpus=0 must be positive'),
        (['--utilization', 1.5], '--utilization=1.5 must be above 0 and at most 1'),
        (['--size', 512], '--size [512] must be 2 positive numbers'),
        (['--cfg-options', 'model.backbone.type=ResNet'], "ResNet takes no 'arch'"),
    ],
)  # fmt: skip
def test_wrong_use(flags, message):
    pytest.importorskip('mmseg')
    result = run_here('plan', CONFIG, *flags)
    assert result.returncode == 2 and message in result.stderr


def test_the_largest_share_of_whole_parameters():
    assert plan.largest_share([5, 5, 4, 3, 3], 2) == 11  # 5 + 3 + 3 against 5 + 4
    assert plan.largest_share([1], 4) == 1
    sizes = [p.numel() for p in nn.Linear(8, 8).parameters()]
    assert plan.largest_share(sizes, 2) == 64
