"""ZeRO-1 by DeepSpeed: what of a config it is given, and where it is installed, a training."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch
from distributed_configs import write_configs
from mmengine.config import Config
from test_checkpoint_tools import run_here
from test_distributed import MISSING, TORCHRUN, launch
from torch.testing import assert_close

from swinv2_dense import config_path
from swinv2_dense.checkpoints.reading import DEEPSPEED, read_checkpoint_file
from swinv2_dense.distributed.parameters import plain_name
from swinv2_dense.engine.deepspeed import fit_deepspeed, plain
from swinv2_dense.errors import ConfigError

FRAGMENT = config_path('_base_/schedules/deepspeed_zero1.py')
STEPS = 3


def config(**changes: object) -> Config:
    cfg = Config.fromfile(FRAGMENT)
    wrapper = dict(
        type='Bf16OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-3),
        clip_grad=dict(max_norm=0.5, norm_type=2),
        accumulative_counts=4,
    )
    cfg.merge_from_dict(dict(optim_wrapper=wrapper, train_dataloader=dict(batch_size=3)))
    cfg.merge_from_dict(changes)
    return cfg


@pytest.fixture
def installed(monkeypatch) -> None:
    """As if DeepSpeed were there."""
    for name in ('deepspeed', 'deepspeed.runtime', 'deepspeed.runtime.fp16'):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules['deepspeed.runtime.fp16'], 'onebit', None, raising=False)


def test_it_is_given_what_the_config_says_of_a_step(installed):
    cfg = config()
    fit_deepspeed(cfg)
    assert plain(cfg.optim_wrapper) == dict(
        type='DeepSpeedOptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)
    )
    assert plain(cfg.strategy) == dict(
        type='DeepSpeedZeroStrategy',
        zero_optimization=dict(stage=1),
        train_micro_batch_size_per_gpu=3,
        gradient_accumulation_steps=4,
        gradient_clipping=0.5,
        config=dict(
            zero_allow_untested_optimizer=True,
            torch_autocast=dict(enabled=True, dtype='bfloat16'),
        ),
    )
    again = plain(cfg.strategy)
    fit_deepspeed(cfg)
    assert plain(cfg.strategy) == again


def test_settings_of_the_strategy_stay(installed):
    cfg = config(strategy=dict(gradient_clipping=2.0))
    fit_deepspeed(cfg)
    assert cfg.strategy.gradient_clipping == 2.0


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(load_from='x.pth'), r"load_from='x\.pth': DeepSpeed loads its own folders alone"),
        (dict(optim_wrapper=dict(type='AmpOptimWrapper')), "optim_wrapper.type='AmpOptimWrapper'"),
        (dict(optim_wrapper=dict(clip_grad=dict(norm_type=1))), 'DeepSpeed clips the 2-norm alone'),
    ],
)
def test_what_it_cannot_do_is_refused(installed, changes, message):
    with pytest.raises(ConfigError, match=message):
        fit_deepspeed(config(**changes))


def test_without_it_the_error_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'deepspeed', None)
    with pytest.raises(ConfigError, match='needs DeepSpeed .*pip install'):
        fit_deepspeed(config())


def test_other_strategies_are_left_alone():
    cfg = Config.fromfile(config_path('_base_/schedules/zero1.py'))
    before = cfg.to_dict()
    fit_deepspeed(cfg)
    assert cfg.to_dict() == before


def test_weights_in_its_folder_are_read(tmp_path):
    weights = dict(a=torch.ones(2))
    torch.save(dict(module=weights, meta=dict(iter=3)), tmp_path / DEEPSPEED)
    checkpoint = read_checkpoint_file(tmp_path)
    assert_close(checkpoint['state_dict'], weights)
    assert checkpoint['meta'] == dict(iter=3)


# ------------------------------------------------------------------------------- where it is there

needs_deepspeed = pytest.mark.skipif(
    find_spec('deepspeed') is None, reason='DeepSpeed is not installed: pip install deepspeed'
)


@needs_deepspeed
@pytest.mark.skipif(bool(MISSING), reason=f'needs {", ".join(MISSING)}')
def test_it_trains_as_ddp(tmp_path):
    """In two processes on the CPU, with clipping and groups, resumed; and its folder is tested."""
    write_configs(tmp_path, tmp_path / 'data')
    text = """
norm = dict(type='GN', num_groups=8)
model = dict(decode_head=dict(norm_cfg=norm), auxiliary_head=dict(norm_cfg=norm))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05, eps=1e-3),
    constructor='SwinV2OptimWrapperConstructor',
    clip_grad=dict(max_norm=0.5),
)
custom_hooks = []
train_dataloader = dict(batch_size=2)
"""
    (tmp_path / 'ddp.py').write_text(f"_base_ = './seg.py'\n{text}")
    (tmp_path / 'ds.py').write_text(f"_base_ = ['./seg.py', '{FRAGMENT}']\n{text}")

    def train(name: str, steps: int, *flags: object) -> dict[str, torch.Tensor]:
        options = [f'train_cfg.max_iters={steps}', f'default_hooks.checkpoint.interval={steps}']
        words = [tmp_path / f'{name}.py', '--work-dir', tmp_path / name, '--launcher', 'pytorch']
        words += ['--seed', 0, '--no-validate', *flags, '--cfg-options', *options]
        code, printed = launch(
            sys.executable, *TORCHRUN, 'tools/train.py', *words, DS_ACCELERATOR='cpu'
        )
        assert code == 0, printed[-4000:]
        state = read_checkpoint_file(tmp_path / name / f'iter_{steps}.pth')['state_dict']
        return {plain_name(key): value for key, value in state.items()}

    expected = train('ddp', STEPS)
    train('ds', STEPS - 1)
    assert_close(train('ds', STEPS, '--resume'), expected, atol=2e-6, rtol=1e-6)
    folder = Path(tmp_path / 'ds' / f'iter_{STEPS}.pth')
    result = run_here('test', tmp_path / 'ddp.py', folder, '--work-dir', tmp_path / 'test')
    assert result.returncode == 0 and 'mIoU' in result.stdout, result.stderr[-3000:]
