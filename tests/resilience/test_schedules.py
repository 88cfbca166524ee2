"""The schedules of a shortened run end with it, and the changes are logged."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from commands import ROOT
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from swinv2_dense.resilience.schedules import RunLength, fit_run, fit_schedules

CONFIGS = sorted(ROOT.glob('configs/_base_/schedules/adamw_*.py'))
CONFIGS += sorted(ROOT.glob('configs/quickstart/*it_*-[r1]*.py'))[:3]
LINEAR = dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100)


def rates(schedules: list, run: RunLength, by_epoch: bool) -> list[float]:
    """The learning rate of each iteration, by mmengine's own schedulers, in units of the config's.

    The defaults of `end` are those of mmengine's runner.
    """
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    wrapper = OptimWrapper(optimizer)
    built = []
    for config in schedules:
        config = dict(config)
        config.setdefault('end', run.of(config))
        args = dict(optimizer=wrapper, epoch_length=run.epoch_length)
        built.append(PARAM_SCHEDULERS.build(config, default_args=args))
    found = []
    for step in range(1, run.iterations + 1):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in built:
            if not scheduler.by_epoch or (by_epoch and step % run.epoch_length == 0):
                scheduler.step()
    return found


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem[:30])
def test_each_schedule_shortened_to_any_length(path):
    """It keeps its shape: up to the full rate, then down as far as in the full run."""
    cfg = Config.fromfile(path)
    by_epoch = cfg.train_cfg.type == 'EpochBasedTrainLoop'
    length = cfg.train_cfg.max_epochs if by_epoch else cfg.train_cfg.max_iters
    whole = RunLength(length * 400 if by_epoch else length, 400)
    for stretch in (False, True):
        unchanged = (cfg.param_scheduler, [])
        assert fit_schedules(cfg.param_scheduler, whole, stretch) == unchanged
    for short in (1, 2, 4, length // 2) if by_epoch else (1, 2, 30, 150):
        run = RunLength(short * 40 if by_epoch else short, 40)
        fitted, lines = fit_schedules(cfg.param_scheduler, run)
        assert lines
        found = rates(fitted, run, by_epoch)
        assert all(0 <= rate <= 1 + 1e-9 for rate in found), (short, fitted, found)
        if len(found) >= 30:
            assert max(found) == pytest.approx(1, abs=0.11)
            assert found.index(max(found)) < 0.6 * len(found)
            assert short < 3 or found[-1] <= 0.2


def test_half_a_run_has_every_second_rate_of_the_run():
    """Derived by hand: at half the length, cosine and polynomial are sampled twice as fast."""
    schedules = [
        LINEAR,
        dict(type='CosineAnnealingLR', T_max=900, eta_min=0, begin=100, by_epoch=False),
    ]
    whole = rates(schedules, RunLength(1000, 10), False)
    fitted, lines = fit_schedules(schedules, RunLength(500, 10))
    assert [part.get('begin', 0) for part in fitted] == [0, 50]
    assert fitted[0]['end'] == 50 and fitted[1]['T_max'] == 450
    assert lines[0] == 'LinearLR from 0 to 100 iterations becomes LinearLR from 0 to 50 iterations'
    half = rates(fitted, RunLength(500, 10), False)
    assert half[50:] == pytest.approx(whole[100::2], abs=1e-6)
    assert schedules[0]['end'] == 100  # the arguments are not changed


@pytest.mark.parametrize(
    ('schedule', 'expected'),
    [
        (dict(type='StepLR', step_size=4, end=12), dict(step_size=2, end=6)),
        (dict(type='MultiStepLR', milestones=[8, 11], end=12), dict(milestones=[4, 5], end=6)),
        (dict(type='MultiStepLR', milestones=[8, 11]), dict(milestones=[4, 6])),
        (dict(type='PolyLR', end=12), dict(end=6)),
        (dict(type='LinearLR', start_factor=1.0, end_factor=0.1, end=12), dict(end=6)),
        (dict(type='CosineRestartLR', periods=[4, 8]), dict(periods=[2, 4])),
        (dict(type='OneCycleLR', eta_max=1.0, total_steps=12), dict(total_steps=6)),
        (dict(type='ExponentialLR', gamma=0.9, end=12), dict(gamma=pytest.approx(0.81), end=6)),
        (dict(type='CosineAnnealingMomentum', T_max=12, end=12), dict(T_max=6, end=6)),
    ],
)
def test_each_kind_of_schedule(schedule, expected):
    run = RunLength(60, 10)  # 6 epochs
    fitted, lines = fit_schedules([schedule], run)
    assert fitted == [schedule | expected] and len(lines) == 1
    single, _ = fit_schedules(schedule, run)
    assert single == fitted
    by_name, named = fit_schedules(dict(encoder=[schedule]), run)
    assert by_name == dict(encoder=fitted) and named == [f'encoder: {lines[0]}']


def test_a_warm_up_longer_than_the_run():
    """1000 iterations of warm-up, as in the COCO schedules, for a dataset of 20 images."""
    epochs = dict(type='MultiStepLR', milestones=[8, 11], end=12)
    long = dict(LINEAR, end=1000)
    run = RunLength(60, 5)
    fitted, lines = fit_schedules([long, epochs], run)
    assert fitted == [dict(LINEAR, end=6), epochs] and len(lines) == 1
    found = rates(fitted, run, True)
    assert max(found) == pytest.approx(1) and found[-1] == pytest.approx(0.01)
    # Followed by a schedule without an end, which takes the rest of the run.
    follows = dict(type='PolyLR', begin=1000, by_epoch=False)
    fitted, lines = fit_schedules([long, follows], RunLength(30, 5))
    assert fitted == [dict(LINEAR, end=3), dict(follows, begin=3)] and len(lines) == 2


def test_a_schedule_that_would_begin_after_the_end_is_dropped():
    late = dict(type='PolyLR', begin=500, by_epoch=False)
    fitted, lines = fit_schedules([late], RunLength(30, 5))
    assert fitted == [] and lines == ['PolyLR from 500 to the end is dropped']


def test_a_longer_run_is_stretched_on_request_only():
    schedules = [LINEAR, dict(type='PolyLR', begin=100, end=1000, by_epoch=False)]
    run = RunLength(2000, 10)
    assert fit_schedules(schedules, run) == (schedules, [])
    fitted, _ = fit_schedules(schedules, run, stretch=True)
    milestones = dict(type='MultiStepLR', milestones=[8, 11])  # milestones do not define an end
    assert fit_schedules([milestones], RunLength(2000, 10), stretch=True)[1] == []
    assert fitted[0]['end'] == 200 and fitted[1]['begin'] == 200 and fitted[1]['end'] == 2000


def test_the_log_says_what_was_scaled():
    said = []
    follows = dict(type='PolyLR', begin=100, end=1000, by_epoch=False)
    runner = SimpleNamespace(
        param_schedulers=[LINEAR, follows],
        logger=SimpleNamespace(warning=said.append),
        _val_loop=dict(),
        cfg={},
    )
    loop = SimpleNamespace(runner=runner, dataloader=range(10), max_iters=100, val_begin=200)
    fit_run(loop)
    assert loop.val_begin == 100 and 'train_cfg.val_begin=200' in said[0]
    assert runner.param_schedulers[1] == dict(follows, begin=10, end=100)
    assert said[1].startswith('The run of 100 iterations (10 per epoch) differs in length')
    assert 'PolyLR from 100 to 1000 iterations becomes PolyLR from 10 to 100 iterations' in said[1]
