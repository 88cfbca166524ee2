"""tools/plan.py: counts by hand, memory against measured trainings, and what it says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import ROOT
from mmengine.config import Config
from test_checkpoint_tools import run_here
from torch import nn

from swinv2_dense import SwinTransformerV2
from swinv2_dense.benchmark import counts, plan
from swinv2_dense.benchmark.plan import Costs
from swinv2_dense.engine.config_parts import ConfigError
from swinv2_dense.engine.plan import FITS, _advice, moments_of, training_size

ARCH = dict(embed_dims=16, depths=(2, 2), num_heads=(1, 2))
COSTS = Costs(
    parameters=[600, 100, 300, 200], trainable=[600, 300, 100], blocks=[300, 500],
    kept=7000, working=50, macs=10**12,
)  # fmt: skip


def test_memory_by_hand():
    """1200 parameters, 1000 of which learn; in fp32, on two GPUs."""
    states = dict(parameters=4800, gradients=4000, optimizer=8000, activations=7000)
    alone = plan.memory(COSTS, 'DDP', 1)
    assert {k: v for k, v in alone.items() if v} == states | {'in passing': 50}
    two = {scheme: plan.memory(COSTS, scheme, 2) for scheme in plan.SCHEMES}
    assert two['DDP'] == alone | {'buckets of gradients': 4000}
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
    """Of matrix products; attention is one operator of our own, so it is counted in its plain form,
    which keeps its logits: backwards four products, and not five.
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
    script = Path(__file__).with_name('training_memory.py')
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
    assert training_size(cfg) == SIZES[name]
    cfg.train_dataloader.dataset = dict(pipeline=[dict(type='LoadImageFromFile')])
    with pytest.raises(ConfigError, match='give it with --size'):
        training_size(cfg)


@pytest.mark.parametrize(
    'scope, steps, size',
    [
        ('mmseg', [dict(type='RandomCrop', crop_size=512)], (512, 512)),
        ('mmseg', [dict(type='RandomCrop', crop_size=(300, 500))], (300, 500)),
        ('mmdet', [dict(type='RandomCrop', crop_size=(500, 300))], (300, 500)),
        ('mmdet', [dict(type='Resize', scale=640)], (640, 640)),
        ('mmdet', [dict(type='RandomResize', scale=(60, 40), ratio_range=(0.5, 2.0))], (80, 120)),
        (
            'mmdet',
            [
                dict(type='Resize', scale=(640, 480)),
                dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.6, 0.6)),
            ],
            (480, 640),
        ),
        (  # as of DETR: the larger of two branches
            'mmdet',
            [
                dict(
                    type='RandomChoice',
                    transforms=[
                        [
                            dict(
                                type='RandomChoiceResize',
                                scales=[(480, 1333), (800, 1333)],
                                keep_ratio=True,
                            ),
                        ],
                        [
                            dict(type='RandomCrop', crop_type='absolute_range', crop_size=(9, 600)),
                        ],
                    ],
                )
            ],
            (800, 1333),
        ),
        (
            'mmaction',
            [
                dict(type='SampleFrames', clip_len=8),
                dict(type='Resize', scale=(-1, 256)),
                dict(type='RandomCrop', size=224),
            ],
            (8, 224, 224),
        ),
    ],
)
def test_size_of_other_pipelines(scope, steps, size):
    loader = dict(dataset=dict(pipeline=steps))
    assert training_size(Config(dict(default_scope=scope, train_dataloader=loader))) == size


def test_what_optimizers_keep():
    """By hand: numbers of the COSTS above, on two GPUs."""
    assert moments_of(dict(type='AdamW')) == 2 and moments_of(dict(type='SGD')) == 0
    assert moments_of(dict(type='SGD', momentum=0.9)) == 1
    costs = replace(COSTS, moments=1, averages=1)
    rows = {scheme: plan.memory(costs, scheme, 2) for scheme in plan.SCHEMES}
    assert [rows[scheme]['optimizer'] for scheme in plan.SCHEMES] == [4000, 4 * 600, 2000]
    assert {rows[scheme]['averaged weights'] for scheme in plan.SCHEMES} == {4800}


@pytest.mark.filterwarnings('ignore')  # of the libraries, in a process that sees them first
def test_the_tool():
    pytest.importorskip('mmseg')
    config = 'configs/segmentation/upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'
    result = run_here('plan', config, '--gpus', 8, '--gpu-memory', 3)
    assert result.returncode == 0, result.stderr
    lines = {line[:24].strip(): line[24:].split() for line in result.stdout.splitlines()}
    assert '60.0 M parameters, products in fp32, 2 images of 512 x 512 per GPU' in result.stdout
    assert '8 GPUs: 16 images per step' in result.stdout
    parameters = 60000662 * 4 / 2**30
    assert [float(x) for x in lines['parameters']] == pytest.approx(
        [parameters, parameters, parameters / 8], abs=0.005
    )
    totals = [float(x) for x in lines['total']]
    assert totals[0] > totals[1] > totals[2]
    assert lines['fits 3 GB'] == ['yes' if t <= 2.7 else 'no' for t in totals]
    assert totals[-1] > 2.7 and 'Fits with none of them' in result.stdout


def test_the_first_scheme_that_fits_is_named():
    costs = replace(COSTS, blocks=[150] * 8)
    found = {name: sum(plan.memory(costs, name, 8).values()) for name in plan.SCHEMES}
    advice = dict.fromkeys(plan.SCHEMES, '')
    for name, total in found.items():
        advice[name] = _advice(costs, SimpleNamespace(gpus=8, gpu_memory=total / 2**30 / FITS))
    assert found['DDP'] > found['ZeRO-1'] > found['FSDP'] and advice == {
        'DDP': 'Fits as it is.',
        'ZeRO-1': 'Fits with ZeRO-1: add configs/_base_/schedules/zero1.py to _base_.',
        'FSDP': 'Fits with FSDP: add configs/_base_/schedules/fsdp.py to _base_.',
    }


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'flags, message',
    [
        (['--gpus', 0], '--gpus=0 must be positive'),
        (['--utilisation', 1.5], '--utilisation=1.5 must be above 0 and at most 1'),
        (['--size', 512], '--size [512] must be 2 positive numbers'),
        (['--cfg-options', 'model.backbone.type=ResNet'], 'cannot be built'),
    ],
)  # fmt: skip
def test_wrong_use(flags, message):
    pytest.importorskip('mmseg')
    config = 'configs/segmentation/upernet_swinv2-t-w16_8xb2-160k_ade20k-512x512.py'
    result = run_here('plan', config, *flags)
    assert result.returncode == 2 and message in result.stderr


def test_the_largest_share_of_whole_parameters():
    assert plan.largest_share([5, 5, 4, 3, 3], 2) == 11  # 5 + 3 + 3 against 5 + 4
    assert plan.largest_share([1], 4) == 1
    sizes = [p.numel() for p in nn.Linear(8, 8).parameters()]
    assert plan.largest_share(sizes, 2) == 64
