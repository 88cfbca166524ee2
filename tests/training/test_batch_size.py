"""Batch sizes and scaled learning rates, calculated by hand, and what the tool logs."""

from __future__ import annotations

import pytest
import torch
from commands import ROOT, run_here
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from swinv2_dense.errors import ConfigError
from swinv2_dense.quickstart.surfaces import SurfacesSpec, write_dataset
from swinv2_dense.training.batch_size import batch_of, scale_learning_rate


def config(base: int | None = 16, **changes) -> Config:
    """A config for 16 samples per step at a learning rate of 0.0001."""
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=2),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4)),
        )
    )
    if base:
        cfg.auto_scale_lr = dict(enable=False, base_batch_size=base)
    cfg.merge_from_dict(changes)
    return cfg


@pytest.mark.parametrize(
    'processes, samples, passes, size',
    [(1, 2, 1, 2), (8, 2, 1, 16), (1, 4, 4, 16), (4, 2, 8, 64), (3, 5, 7, 105)],
)
def test_batch(monkeypatch, processes, samples, passes, size):
    monkeypatch.setenv('WORLD_SIZE', str(processes))
    cfg = config(launcher='pytorch', **{'train_dataloader.batch_size': samples})
    cfg.optim_wrapper.accumulative_counts = passes
    batch = batch_of(cfg)
    assert batch == (processes, samples, passes) and batch.size == size


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_scaled_rate(monkeypatch, launcher):
    """4 processes x 2 samples x 3 passes = 24 = 1.5 x 16."""
    names = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE')
    monkeypatch.setenv(names[launcher], '4')
    cfg = config(launcher=launcher, **{'optim_wrapper.accumulative_counts': 3})
    said = scale_learning_rate(cfg, scale=True)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(1.5e-4, rel=1e-12)
    assert 'lr=0.0001 is meant for 16 samples' in said and 'has 24 samples' in said
    assert 'processes 4 x train_dataloader.batch_size 2' in said
    # The saved config is consistent: neither mmengine nor a second call scales it again.
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=24)
    scale_learning_rate(cfg, scale=True)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(1.5e-4, rel=1e-12)


def test_a_config_that_asks_for_it_is_scaled():
    cfg = config(**{'auto_scale_lr.enable': True})
    scale_learning_rate(cfg, scale=False)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(1.25e-5, rel=1e-12)


def test_other_batch_sizes_are_only_reported():
    cfg = config()
    said = scale_learning_rate(cfg, scale=False)
    assert 'meant for 16 samples per step' in said and 'has 2 samples' in said
    assert '--auto-scale-lr' in said
    assert cfg.optim_wrapper.optimizer.lr == 1e-4


def test_equal_batch_sizes_log_nothing():
    assert scale_learning_rate(config(base=2), scale=False) is None
    assert scale_learning_rate(config(base=None), scale=False) is None


def test_what_scaling_needs():
    with pytest.raises(ConfigError, match=r'--auto-scale-lr needs auto_scale_lr=dict\(base_'):
        scale_learning_rate(config(base=None), scale=True)
    cfg = config()
    cfg.optim_wrapper.optimizer.pop('lr')
    with pytest.raises(ConfigError, match=r'--auto-scale-lr needs optim_wrapper\.optimizer\.lr'):
        scale_learning_rate(cfg, scale=True)


def test_accumulated_passes_are_one_step():
    """The gradient of a step is the mean over its passes, as for a single batch."""
    x, weights = torch.randn(6, 4, dtype=torch.float64), []
    for parts in ([6], [2, 2, 2]):
        layer = nn.Linear(4, 1, bias=False).double()
        nn.init.ones_(layer.weight)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        wrapper = OptimWrapper(optimizer, accumulative_counts=len(parts))
        wrapper.initialize_count_status(layer, 0, len(parts))
        for part in x.split(parts):
            wrapper.update_params(layer(part).square().mean())
        weights.append(layer.weight.detach())
    torch.testing.assert_close(*weights)
    assert not torch.equal(weights[0], torch.ones_like(weights[0]))


def test_the_tool_scales_and_reports_it(tmp_path):
    pytest.importorskip('mmseg')
    write_dataset(tmp_path / 'data', SurfacesSpec(train=2, val=1))
    (quickstart,) = ROOT.glob('configs/quickstart/upernet*.py')
    options = [
        f'train_dataloader.dataset.data_root={tmp_path}/data',
        'train_dataloader.batch_size=1',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'optim_wrapper.accumulative_counts=2',
        'optim_wrapper.optimizer.lr=0.008',
        'auto_scale_lr.base_batch_size=8',
        'train_cfg.max_iters=2',
        'param_scheduler=None',
        'default_hooks.logger.interval=1',
    ]
    words = [quickstart, '--no-validate', '--work-dir', tmp_path / 'work']
    result = run_here('train', *words, '--auto-scale-lr', '--cfg-options', *options)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'is meant for 8 samples per step, and a step has 2 samples' in result.stdout
    assert 'lr: 2.0000e-03' in result.stdout
