"""Resuming with other settings: differences are logged, and --fit-schedule applies the new ones."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from same_training import Training

from swinv2_dense.resilience.resume_settings import ResumeSettingsHook, differences, read_settings
from swinv2_dense.resilience.schedules import RunLength, fit_schedules

SETTINGS = dict(
    train_cfg=dict(type='IterBasedTrainLoop', max_iters=100, val_interval=10),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0), clip_grad=None),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10),
        dict(type='CosineAnnealingLR', begin=10, end=100, T_max=90, by_epoch=False),
    ],
    train_dataloader=dict(batch_size=2, num_workers=1, dataset=dict(data_root='a')),
)
LONGER = {'train_cfg.max_iters': 200, 'optim_wrapper.optimizer.lr': 0.5}


class Run:
    """The parts of a runner that the hook uses, with real schedulers and a real optimizer."""

    def __init__(self, settings: dict, fit: bool = False, step: int = 0, resume: bool = False):
        self.cfg = Config(dict(settings, fit_schedule=fit))
        self.param = torch.nn.Parameter(torch.zeros(1))
        lr = settings['optim_wrapper']['optimizer']['lr']
        self.optim_wrapper = OptimWrapper(torch.optim.SGD([self.param], lr=lr))
        limit = settings['train_cfg']['max_iters']
        configs, _ = fit_schedules(settings['param_scheduler'], RunLength(limit, 10), fit)
        self.param_schedulers = [
            PARAM_SCHEDULERS.build(dict(c), default_args=dict(optimizer=self.optim_wrapper))
            for c in configs
        ]
        self.iter, self.epoch, self._resume, self.said = step, 0, resume, []
        self.logger = SimpleNamespace(warning=self.said.append)
        self.train_loop = SimpleNamespace(dataloader=range(10), max_iters=limit)

    def rates(self, steps: int) -> list[float]:
        """The learning rates of the next steps."""
        found = []
        for _ in range(steps):
            found.append(self.optim_wrapper.param_groups[0]['lr'])
            self.optim_wrapper.step()
            for scheduler in self.param_schedulers:
                scheduler.step()
        return found

    def checkpoint(self) -> dict:
        return dict(
            meta=dict(cfg=self.cfg.pretty_text),
            optimizer=self.optim_wrapper.state_dict(),
            param_schedulers=[s.state_dict() for s in self.param_schedulers],
        )

    def resume(self, checkpoint: dict) -> Run:
        """Resume as mmengine does."""
        hook = ResumeSettingsHook()
        hook.after_load_checkpoint(self, checkpoint)
        self.optim_wrapper.load_state_dict(checkpoint['optimizer'])
        for scheduler, state in zip(self.param_schedulers, checkpoint['param_schedulers']):
            scheduler.load_state_dict(state)
        hook.before_train(self)
        return self


def changed(options: dict) -> dict:
    cfg = Config(SETTINGS)
    cfg.merge_from_dict(options)
    return cfg.to_dict()


def test_added_iterations_at_rate_zero_are_reported():
    first = Run(SETTINGS)
    first.rates(100)
    second = Run(changed(LONGER), step=100, resume=True).resume(first.checkpoint())
    (said,) = second.said
    assert 'train_cfg.max_iters: 100 -> 200, used from here on' in said
    assert 'optim_wrapper.optimizer.lr: 1.0 -> 0.5, ignored: the checkpoint decides' in said
    assert 'the schedules of the checkpoint end at iteration 100 of 200' in said
    assert '--fit-schedule' in said
    assert max(second.rates(100)) < 1e-3


@pytest.mark.parametrize('step', [5, 10, 60, 100])
def test_a_fitted_schedule_continues_as_if_it_had_always_been_used(step):
    first = Run(SETTINGS)
    first.rates(step)
    whole = Run(changed(LONGER), fit=True).rates(200)
    assert max(whole) == pytest.approx(0.5) and whole[-1] < 1e-3
    second = Run(changed(LONGER), fit=True, step=step, resume=True).resume(first.checkpoint())
    assert second.rates(200 - step) == whole[step:]
    assert 'lr: 1.0 -> 0.5, used from here on' in second.said[0]


def test_equal_settings_log_and_change_nothing():
    for fit in (False, True):
        first = Run(SETTINGS, fit)
        whole = Run(SETTINGS, fit).rates(100)
        first.rates(40)
        second = Run(SETTINGS, fit, step=40, resume=True).resume(first.checkpoint())
        assert second.said == [] and second.rates(60) == whole[40:]


def test_what_is_compared():
    options = {
        'train_dataloader.batch_size': 4,
        'train_dataloader.num_workers': 8,
        'train_dataloader.dataset.data_root': 'b',
        'param_scheduler.1.end': 90,
        'optim_wrapper.clip_grad': 'x',
    }
    stored = read_settings(Config(SETTINGS).pretty_text)
    assert list(differences(stored, Config(changed(options)), False)) == [
        "optim_wrapper.clip_grad: None -> 'x', used from here on",
        'param_scheduler.1.end: 100 -> 90, ignored: the checkpoint decides',
        'train_dataloader.batch_size: 2 -> 4, used from here on',
        "train_dataloader.dataset.data_root: 'a' -> 'b', used from here on",
    ]


def test_the_text_of_a_config_is_not_executed(tmp_path):
    text = f"train_cfg = dict(max_iters=open('{tmp_path}/x', 'w'), a=-1, b=(1, 2))\nimport os\n"
    settings = read_settings(text)['train_cfg']
    assert settings['max_iters'] == f"open('{tmp_path}/x', 'w')"
    assert settings['a'] == -1 and settings['b'] == [1, 2]
    assert list(tmp_path.iterdir()) == []
    assert read_settings('no config (') == {} and read_settings('') == {}


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('kind', ['by_step', 'by_epoch'])
def test_a_training_is_extended(tmp_path, kind):
    """From 28 to 42 steps: the rates are then those of a training of 42 steps."""
    length, half, whole = dict(
        by_step=('train_cfg.max_iters', 28, 42), by_epoch=('train_cfg.max_epochs', 4, 6)
    )[kind]
    options = (f'param_scheduler.1.end={half}', 'optim_wrapper.accumulative_counts=1')
    run = Training(tmp_path, kind, *options, f'{length}={half}')
    assert run.run('work') == 0, run.log('work')
    run.options = (*options, f'{length}={whole}')
    assert run.run('work', '--resume', '--fit-schedule') == 0, run.log('work')
    assert run.run('whole', '--fit-schedule') == 0, run.log('whole')
    expected = rates_by_step(tmp_path / 'whole')
    assert len(expected) == 42
    found = rates_by_step(tmp_path / 'work')  # of the second run, from step 29 on
    assert found == {step: expected[step] for step in range(29, 43)}


def rates_by_step(work_dir: Path) -> dict[int, float]:
    """Learning rates of the last run in a work directory."""
    path = max(work_dir.glob('*/vis_data/scalars.json'))
    lines = map(json.loads, path.read_text().splitlines())
    return {line['step']: line['lr'] for line in lines if 'lr' in line}
