"""Sharded training: two processes on the CPU against one with the same images."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from commands import ROOT
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from sharded_training import OPTIM_WRAPPER, STEPS, WORLD_SIZE, Classifier, Samples
from test_checkpoint_tools import run_here
from torch import nn
from torch.testing import assert_close

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.engine.config_parts import ConfigError
from swinv2_dense.engine.fsdp import check_sharding, swin_block_policy
from swinv2_dense.models.blocks import SwinBlock
from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset

WINDOWS = [(12, 12), (6, 6)]  # the divisors, in no config


def initial_state() -> OrderedDict:
    """Weights of another task, with five classes, whose backbone was trained at WINDOWS."""
    torch.manual_seed(0)
    model = Classifier(num_classes=5)
    for name, param in model.named_parameters():
        if 'logit_scale' not in name:
            nn.init.normal_(param, std=0.5)
    model.backbone.set_pretrained_window_sizes(WINDOWS, 'the test')
    return model.state_dict()


def alone(state: OrderedDict, steps: int) -> tuple[Classifier, dict, list[float]]:
    """A plain loop over the images of both processes: the model, its groups, its losses."""
    model = Classifier(num_classes=3)
    model.init_weights()
    model.load_state_dict({k: v for k, v in state.items() if 'head' not in k}, strict=False)
    model.backbone.set_pretrained_window_sizes(WINDOWS, 'the test')
    optimizer = build_optim_wrapper(model, dict(OPTIM_WRAPPER)).optimizer
    names = {param: name for name, param in model.named_parameters()}
    groups = {
        names[param]: [group['lr'], group['weight_decay']]
        for group in optimizer.param_groups
        for param in group['params']
    }
    losses = []
    for step in range(steps):
        batch = [Samples()[WORLD_SIZE * step + i] for i in range(WORLD_SIZE)]
        parts = {key: [sample[key] for sample in batch] for key in ('inputs', 'label')}
        loss = model(**parts, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), **OPTIM_WRAPPER['clip_grad'])
        assert norm > 2 * OPTIM_WRAPPER['clip_grad']['max_norm']  # so clipping matters
        optimizer.step()
        losses.append(loss.item())
    return model, groups, losses


@pytest.fixture(scope='module')
def sharded(tmp_path_factory) -> Path:
    """Folder of two trainings in two processes: from `initial.pth`, then resumed."""
    folder = tmp_path_factory.mktemp('sharded')
    torch.save(dict(state_dict=initial_state()), folder / 'initial.pth')
    script = Path(__file__).parent / 'sharded_training.py'
    logs = [folder / f'log_{rank}.txt' for rank in range(WORLD_SIZE)]
    processes = []
    try:
        for rank, log in enumerate(logs):
            command = [sys.executable, str(script), str(rank), str(folder)]
            with log.open('w') as output:
                processes.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))
        for process in processes:
            process.wait(timeout=300)
    finally:
        for process in processes:
            process.kill()
    for process, log in zip(processes, logs):
        assert process.returncode == 0, log.read_text()[-4000:]
    return folder


def written(folder: Path, name: str) -> list[dict]:
    """What each process wrote about a training."""
    return [json.loads((folder / f'{name}_{rank}.json').read_text()) for rank in range(WORLD_SIZE)]


def mean_losses(folder: Path, name: str) -> torch.Tensor:
    return torch.tensor([entry['losses'] for entry in written(folder, name)]).mean(0)


@pytest.mark.parametrize(
    'name, first, steps', [('trained', 0, STEPS), ('resumed', STEPS, 2 * STEPS)]
)
def test_it_trains_as_one_process(sharded, name, first, steps):
    """With layer decay, weight decay by kind, clipping, recomputed blocks, and weights of another
    task and of another window; resumed, with the optimizer's state.
    """
    model, groups, losses = alone(initial_state(), steps)
    for entry in written(sharded, name):
        assert entry['groups'] == groups
    assert_close(mean_losses(sharded, name), torch.tensor(losses[first:]), atol=1e-5, rtol=0)
    state = read_checkpoint_file(sharded / 'work' / f'iter_{steps}.pth')['state_dict']
    # Measured: 1e-7, rounding of the two sums; a step changes every parameter by 1e-4 or more.
    assert_close(dict(state), dict(model.state_dict()), atol=1e-6, rtol=0)
    assert state._metadata['backbone']['pretrained_window_sizes'] == WINDOWS


def test_bf16_keeps_the_weights_in_fp32(sharded):
    exact, in_bf16 = mean_losses(sharded, 'trained'), mean_losses(sharded, 'bf16')
    assert_close(in_bf16, exact, atol=0.03, rtol=0)
    assert (in_bf16 - exact).abs().max() > 1e-4
    state = read_checkpoint_file(sharded / 'bf16' / f'iter_{STEPS}.pth')['state_dict']
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_only_blocks_are_units():
    model = Classifier(num_classes=3)
    units = {name for name, m in model.named_modules() if swin_block_policy(m, False, 10**9)}
    assert units == {f'backbone.layers.{s}.blocks.{b}' for s in (0, 1) for b in (0, 1)}
    assert all(isinstance(model.get_submodule(name), SwinBlock) for name in units)
    assert all(swin_block_policy(m, True, 0) for m in model.modules())  # look inside all others


def test_joined_parameters_are_refused():
    model = nn.Module()
    model._flat_param = nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match=r'model_wrapper\.use_orig_params=True'):
        build_optim_wrapper(model, dict(OPTIM_WRAPPER))


def test_sharding_needs_a_device_per_process(monkeypatch):
    strategy = dict(type='ShardedStrategy')
    cfg = ConfigDict(strategy=strategy, launcher='pytorch')
    with pytest.raises(ConfigError, match=r"type='ShardedStrategy' needs a GPU"):
        check_sharding(cfg)
    monkeypatch.setattr('swinv2_dense.engine.fsdp.get_device', lambda: 'cuda')
    check_sharding(cfg)
    with pytest.raises(ConfigError, match='torchrun --nproc_per_node=GPUS tools/train.py'):
        check_sharding(ConfigDict(strategy=strategy, launcher='none'))
    check_sharding(ConfigDict(strategy=dict(type='SingleDeviceStrategy'), launcher='none'))
    check_sharding(ConfigDict(launcher='none'))


# ---------------------------------------------------------------------- the tools, one device


@pytest.fixture(scope='module')
def options(tmp_path_factory) -> list[str]:
    """The quickstart's detector on a few images, in mmengine's other runner."""
    pytest.importorskip('mmdet')
    root = tmp_path_factory.mktemp('shapes')
    write_dataset(root, ShapesSpec(train=4, val=2))
    parts = ('train', 'val', 'test')
    return [
        *(f'{part}_dataloader.dataset.data_root={root}/' for part in parts),
        *(f'{part}_dataloader.num_workers=0' for part in parts),
        *(f'{part}_dataloader.persistent_workers=False' for part in parts),
        *(f'{p}_evaluator.ann_file={root}/annotations/instances_val.json' for p in parts[1:]),
        'train_cfg.val_interval=2',
        'param_scheduler.0.end=1',
        'param_scheduler.1.begin=1',
        'train_dataloader.batch_size=2',
        'default_hooks.logger.interval=1',
        'default_hooks.checkpoint.interval=2',
        'runner_type=FlexibleRunner',
    ]


@pytest.mark.filterwarnings('ignore')  # of the libraries, in a process that sees them first
def test_the_tools_with_another_runner(options, tmp_path):
    (config,) = ROOT.glob('configs/quickstart/htc*.py')

    def run(name: str, *words: object, **changes: object) -> subprocess.CompletedProcess:
        changed = [f'{key.replace("__", ".")}={value}' for key, value in changes.items()]
        return run_here(name, config, *words, '--cfg-options', *options, *changed)

    single = dict(strategy__type='SingleDeviceStrategy')
    for start, end in ((0, 2), (2, 4)):
        go_on = ['--resume', tmp_path / 'iter_2.pth'] if start else []
        result = run('train', '--work-dir', tmp_path, *go_on, **single, train_cfg__max_iters=end)
        assert result.returncode == 0, result.stderr[-3000:]
        assert 'coco/segm_mAP' in result.stdout
        checkpoint = read_checkpoint_file(tmp_path / f'iter_{end}.pth')
        assert checkpoint['meta']['iter'] == end
        steps = {float(entry['step']) for entry in checkpoint['optimizer']['state'].values()}
        assert steps == {end}
    # A sharded config is tested whole, on one device, without a launcher.
    sharded = dict(strategy__type='ShardedStrategy')
    result = run('test', tmp_path / 'iter_4.pth', '--work-dir', tmp_path / 'test', **sharded)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'coco/segm_mAP' in result.stdout
    result = run('train', '--work-dir', tmp_path / 'refused', **sharded)
    assert result.returncode == 2
    assert "error: strategy.type='ShardedStrategy' needs a GPU" in result.stderr
