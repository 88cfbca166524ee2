"""Sharded training: two processes on the CPU compared with one on the same images."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import pytest
import torch
from commands import ROOT, run_here
from forked import run_ranks
from mmengine.config import ConfigDict
from sharded_runs import WINDOWS, alone, mean_losses, run_in_two, written
from sharded_training import STEPS, Classifier
from torch import nn
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.distributed.fsdp import ShardedStrategy, check_parameters
from swinv2_dense.distributed.strategy import check_sharding
from swinv2_dense.errors import CheckpointError, ConfigError
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


def fullest(shapes: list[torch.Size]) -> int:
    """Elements on the fullest of two processes, the first: it has the odd rows."""
    return sum(math.ceil(shape[0] / 2) * math.prod(shape[1:]) for shape in shapes)


def test_each_process_holds_half(sharded):
    """Between steps, by rows; memory of parameters is padded to an even number of rows."""
    shapes = [p.shape for p in Classifier(num_classes=3).parameters()]
    first, other = written(sharded, 'fsdp')
    assert first['parameters'] == other['parameters'] == fullest(shapes)
    assert first['moments'] == 2 * fullest(shapes)
    assert first['moments'] + other['moments'] == 2 * sum(map(math.prod, shapes))


@pytest.mark.parametrize('arch', ['t', 'l'])
def test_half_of_a_real_model(arch):
    with torch.device('meta'):
        shapes = [p.shape for p in SwinTransformerV2(arch).parameters()]
    assert fullest(shapes) == pytest.approx(sum(map(math.prod, shapes)) / 2, rel=1e-4)


def test_initial_weights_are_read_by_one_process(sharded):
    """The other, which has no such file, gets them and the windows that they were trained with."""
    for shared, loaded in zip(written(sharded, 'fsdp_init'), written(sharded, 'fsdp')):
        assert shared['losses'] == loaded['losses']


def test_no_process_holds_the_model_to_initialize_it(sharded):
    """Not even the one that reads the weights: its half, and a block, here of a ninth."""
    for entry in written(sharded, 'sizes'):
        assert 0.5 < entry['peak'] < 0.75


@pytest.mark.slow
@pytest.mark.parametrize('size', [2, 4])
def test_no_process_holds_the_model_at_any_stage(tmp_path, size):
    """Of 148 M parameters, from the first step to the end of resuming."""
    script = Path(__file__).parents[1] / 'support/sharded_memory.py'
    result = run_ranks(script, tmp_path, size=size, limit=1200)
    assert result.returncode == 0, result.stdout[-4000:]
    copies = dict(initialize=1, train=4, save=3, load=1, resume=3)  # of what a parameter takes
    for rank in range(size):
        found = json.loads((tmp_path / f'{rank}.json').read_text())
        passing = 3 * found['block'] + 2 * found['others']  # gathered, with gradients
        for stage, count in copies.items():
            limit = count * found['parameters'] / size + passing
            assert found[stage]['peak'] < limit + 40 * 2**20, stage  # and activations, buffers


# ---------------------------------------------------------------------- checkpoints


def test_a_full_disk_and_damage_are_errors_of_all_processes(sharded):
    """Rank 0 cannot write; then each process finds a damaged entry that only it verifies."""
    for entry in written(sharded, 'sizes'):
        found = entry['failures']
        assert 'whole.pth cannot be written: File too large' in found['save']
        for rank in (0, 1):
            assert f'damaged_{rank}.pth cannot be read' in found[f'load_{rank}']
            assert 'the checksum of archive/data/' in found[f'load_{rank}']


def test_accumulated_gradients_are_resumed(sharded):
    """From a checkpoint between two passes of a step, bit for bit."""
    first, last = (saved(sharded, f'fsdp_halfway{suffix}', STEPS) for suffix in ('', '_resumed'))
    assert_close(dict(last['state_dict']), dict(first['state_dict']), atol=0, rtol=0)
    gradients = saved(sharded, 'fsdp_halfway', 1)['accumulated_gradients']
    assert {k: v.shape for k, v in gradients.items()} == {
        name: param.shape for name, param in Classifier(num_classes=3).named_parameters()
    }


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


def test_shards_are_joined_when_they_are_used(sharded):
    folder = sharded / 'fsdp_local' / f'iter_{STEPS}.pth'
    at_once, later = (read_checkpoint_file(folder, mapped=mapped) for mapped in (False, True))
    for name, value in at_once['state_dict'].items():
        joined_later = later['state_dict'][name]
        assert joined_later.shape == value.shape
        assert torch.equal(joined_later[:1], value[:1])
        assert torch.equal(joined_later.clone(), value)


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


def test_blocks_are_gathered_one_by_one(sharded):
    blocks = {f'backbone.layers.{s}.blocks.{b}' for s in (0, 1) for b in (0, 1)}
    for entry in written(sharded, 'fsdp'):
        assert set(entry['units']) == {'', *blocks}


@pytest.mark.parametrize('kind', ['ShardedStrategy', 'ZeroStrategy'])
def test_sharding_needs_several_processes(kind):
    strategy = dict(type=kind)
    check_sharding(ConfigDict(strategy=strategy, launcher='pytorch'))
    with pytest.raises(ConfigError, match=f'{kind}.*tools/dist_train.sh CONFIG GPUS'):
        check_sharding(ConfigDict(strategy=strategy, launcher='none'))
    check_sharding(ConfigDict(strategy=dict(type='SingleDeviceStrategy'), launcher='none'))
    check_sharding(ConfigDict(launcher='none'))


def test_what_cannot_be_sharded():
    with pytest.raises(ConfigError, match=r"FSDPStrategy.*use strategy\.type='ShardedStrategy'"):
        check_sharding(ConfigDict(strategy=dict(type='FSDPStrategy'), launcher='pytorch'))
    averaged = dict(strategy=dict(type='ShardedStrategy'), custom_hooks=[dict(type='EMAHook')])
    with pytest.raises(ConfigError, match='EMAHook, which copies the model'):
        check_sharding(ConfigDict(launcher='pytorch', **averaged))
    model = nn.ModuleDict(dict(scale=nn.ParameterList([nn.Parameter(torch.tensor(1.0))])))
    with pytest.raises(ConfigError, match=r'cannot shard scalars, and scale\.0 of the model are'):
        check_parameters(model)


def test_settings_of_the_wrapper_of_earlier_versions():
    earlier = dict(type='MMFullyShardedDataParallel', use_orig_params=True)
    ShardedStrategy(model_wrapper=earlier | dict(auto_wrap_policy='swin_block_policy'))
    with pytest.raises(ConfigError, match=r"model_wrapper\.sharding_strategy='SHARD_GRAD_OP'"):
        ShardedStrategy(model_wrapper=earlier | dict(sharding_strategy='SHARD_GRAD_OP'))


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
