"""Sharded training: two processes on the CPU compared with one on the same images."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from commands import ROOT, run_here
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from sharded_runs import WINDOWS, alone, mean_losses, run_in_two, written
from sharded_training import OPTIM_WRAPPER, STEPS, Classifier
from torch import nn
from torch.testing import assert_close

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.distributed.fsdp import ShardedStrategy, swin_block_policy
from swinv2_dense.distributed.strategy import check_sharding
from swinv2_dense.errors import CheckpointError, ConfigError
from swinv2_dense.models.blocks import SwinBlock
from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset


@pytest.fixture(scope='module')
def sharded(tmp_path_factory) -> Path:
    return run_in_two(tmp_path_factory.mktemp('sharded'), 'fsdp')


def saved(folder: Path, name: str, steps: int) -> dict:
    return read_checkpoint_file(folder / name / f'iter_{steps}.pth')


def joined(folder: Path, steps: int) -> dict:
    return read_checkpoint_file(folder / 'fsdp_local' / f'iter_{steps}.pth')


@pytest.mark.parametrize(
    'name, first, steps', [('fsdp', 0, STEPS), ('fsdp_resumed', STEPS, 2 * STEPS)]
)
def test_it_trains_as_one_process(sharded, name, first, steps):
    """With layer decay, weight decay by kind, clipping, recomputed blocks, and weights of another
    task and of another window; resumed, with the optimizer's state.
    """
    model, groups, losses = alone(steps)
    for entry in written(sharded, name):
        assert entry['groups'] == groups
    assert_close(mean_losses(sharded, name), torch.tensor(losses[first:]), atol=1e-5, rtol=0)
    state = saved(sharded, 'fsdp', steps)['state_dict']
    # Measured: 1e-7, rounding of the two sums; a step changes every parameter by 1e-4 or more.
    assert_close(dict(state), dict(model.state_dict()), atol=1e-6, rtol=0)
    assert state._metadata['backbone']['pretrained_window_sizes'] == WINDOWS


def test_accumulated_gradients(sharded):
    model, _, _ = alone(STEPS, parts=2)
    state = saved(sharded, 'fsdp_parts', STEPS)['state_dict']
    assert_close(dict(state), dict(model.state_dict()), atol=1e-6, rtol=0)


def test_a_step_that_is_not_finite_in_one_process_is_skipped(sharded):
    model, _, _ = alone(STEPS - 1)
    state = saved(sharded, 'fsdp_skipping', STEPS)['state_dict']
    assert_close(dict(state), dict(model.state_dict()), atol=1e-6, rtol=0)
    log = (sharded / 'log_0.txt').read_text()  # of the process whose own loss was finite
    assert 'Skipped iteration 2: a loss of nan' in log and 'samples: index 3. 1 in a row' in log


def test_bf16_keeps_the_weights_in_fp32(sharded):
    exact, in_bf16 = mean_losses(sharded, 'fsdp'), mean_losses(sharded, 'fsdp_bf16')
    assert_close(in_bf16, exact, atol=0.03, rtol=0)
    assert (in_bf16 - exact).abs().max() > 1e-4
    state = saved(sharded, 'fsdp_bf16', STEPS)['state_dict']
    assert {value.dtype for value in state.values()} == {torch.float32}


# ---------------------------------------------------------------------- memory


def test_each_process_holds_half(sharded):
    """Between steps. Shards are padded to equal lengths, by less than two numbers per unit."""
    total = sum(p.numel() for p in Classifier(num_classes=3).parameters())
    entries = written(sharded, 'fsdp')
    assert sum(entry['moments'] for entry in entries) == 2 * total
    for entry in entries:
        held = entry['parameters'] + entry['moments']
        assert held == pytest.approx(3 * total / 2, rel=0.01)


def test_initial_weights_are_read_by_one_process(sharded):
    """The other, which has no such file, gets them and the windows that they were trained with from
    the first; at most it holds the model once and, here of a ninth of it, what a unit is made of.
    """
    for shared, loaded in zip(written(sharded, 'fsdp_init'), written(sharded, 'fsdp')):
        assert shared['losses'] == loaded['losses']
    first, other = (entry['peak'] for entry in written(sharded, 'sizes'))
    assert 1.8 < first < 2.5  # the model and the file
    assert other < 1.6


# ---------------------------------------------------------------------- sharded checkpoints


def test_a_sharded_checkpoint_equals_the_full_one(sharded):
    """Bit for bit when joined, also after resuming from it."""
    for steps in (STEPS, 2 * STEPS):
        whole, parts = saved(sharded, 'fsdp', steps), joined(sharded, steps)
        metadata = parts['state_dict']._metadata['backbone']
        assert metadata['pretrained_window_sizes'] == WINDOWS
        assert parts.keys() == whole.keys()
        weights, optimizer = dict(whole['state_dict']), whole['optimizer']
        assert_close(dict(parts['state_dict']), weights, atol=0, rtol=0)
        assert_close(parts['optimizer'].pop('state'), optimizer.pop('state'), atol=0, rtol=0)
        assert parts['optimizer'] == optimizer


def test_shards_are_small(sharded):
    folder = sharded / 'fsdp_local' / f'iter_{STEPS}.pth'
    sizes = [path.stat().st_size for path in sorted(folder.iterdir())]
    whole = (sharded / 'fsdp' / f'iter_{STEPS}.pth').stat().st_size
    assert len(sizes) == 2 and max(sizes) < 0.75 * whole


def test_missing_and_mixed_shards_are_refused(sharded, tmp_path):
    folder = sharded / 'fsdp_local' / f'iter_{STEPS}.pth'
    (tmp_path / 'rank0.pth').write_bytes((folder / 'rank0.pth').read_bytes())
    with pytest.raises(CheckpointError, match='found 1 of 2 files'):
        read_checkpoint_file(tmp_path)
    (tmp_path / 'rank5.pth').write_bytes((folder / 'rank1.pth').read_bytes())
    with pytest.raises(CheckpointError, match=r'rank1\.pth does not exist'):
        read_checkpoint_file(tmp_path)


# ---------------------------------------------------------------------- settings


def test_only_blocks_are_units():
    model = Classifier(num_classes=3)
    units = {name for name, m in model.named_modules() if swin_block_policy(m, False, 10**9)}
    assert units == {f'backbone.layers.{s}.blocks.{b}' for s in (0, 1) for b in (0, 1)}
    assert all(isinstance(model.get_submodule(name), SwinBlock) for name in units)
    assert all(swin_block_policy(m, True, 0) for m in model.modules())  # look inside all others


def test_flattened_parameters_are_refused():
    model = nn.Module()
    model._flat_param = nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match=r'model_wrapper\.use_orig_params=True'):
        build_optim_wrapper(model, dict(OPTIM_WRAPPER))


@pytest.mark.parametrize('kind', ['ShardedStrategy', 'ZeroStrategy'])
def test_sharding_needs_several_processes(kind):
    strategy = dict(type=kind)
    check_sharding(ConfigDict(strategy=strategy, launcher='pytorch'))
    with pytest.raises(ConfigError, match=f'{kind}.*tools/dist_train.sh CONFIG GPUS'):
        check_sharding(ConfigDict(strategy=strategy, launcher='none'))
    check_sharding(ConfigDict(strategy=dict(type='SingleDeviceStrategy'), launcher='none'))
    check_sharding(ConfigDict(launcher='none'))


def test_other_checkpoint_formats_are_refused():
    with pytest.raises(ConfigError, match=r"state_dict_cfg='sharded': 'full' writes a file"):
        ShardedStrategy(state_dict_cfg='sharded')


# ---------------------------------------------------------------------- the tools, one device


@pytest.fixture(scope='module')
def options(tmp_path_factory) -> list[str]:
    """The quickstart's detector on a few images, with mmengine's FlexibleRunner."""
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
        'model.test_cfg.rcnn.score_thr=0.0',  # or four steps may leave nothing to evaluate
    ]


@pytest.mark.filterwarnings('ignore')  # from libraries imported here first
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
    # A sharded config is tested unsharded, on one device, without a launcher.
    sharded = dict(strategy__type='ShardedStrategy')
    result = run('test', tmp_path / 'iter_4.pth', '--work-dir', tmp_path / 'test', **sharded)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'coco/segm_mAP' in result.stdout
    result = run('train', '--work-dir', tmp_path / 'refused', **sharded)
    assert result.returncode == 2
    assert "error: strategy.type='ShardedStrategy' needs several processes" in result.stderr
