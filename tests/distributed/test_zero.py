"""ZeRO-1: two processes on the CPU compared with one on the same images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from sharded_runs import WINDOWS, alone, mean_losses, run_in_two, written
from sharded_training import STEPS, Classifier
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.costs.training_step import largest_share
from swinv2_dense.distributed.parameters import unwrapped_name
from swinv2_dense.distributed.zero import with_zero
from swinv2_dense.errors import ConfigError


@pytest.fixture(scope='module')
def spread(tmp_path_factory) -> Path:
    return run_in_two(tmp_path_factory.mktemp('zero'), 'zero')


def weights(folder: Path, name: str, steps: int) -> dict:
    state = read_checkpoint_file(folder / name / f'iter_{steps}.pth')['state_dict']
    return {unwrapped_name(key): value for key, value in state.items()}


@pytest.mark.parametrize(
    'name, first, steps', [('zero', 0, STEPS), ('zero_resumed', STEPS, 2 * STEPS)]
)
def test_it_trains_as_one_process(spread, name, first, steps):
    """With per-parameter learning rate and decay, clipping, and moments after resuming."""
    model, groups, losses = alone(steps)
    for entry in written(spread, name):
        assert entry['groups'] == groups
    assert_close(mean_losses(spread, name), torch.tensor(losses[first:]), atol=1e-5, rtol=0)
    # Measured: 1e-7, rounding of the two sums; a step changes every parameter by 1e-4 or more.
    expected = dict(model.state_dict())
    assert_close(weights(spread, 'zero', steps), expected, atol=1e-6, rtol=0)
    path = spread / 'zero' / f'iter_{steps}.pth'
    metadata = read_checkpoint_file(path)['state_dict']._metadata
    windows = {unwrapped_name(f'{k}.').rstrip('.'): v for k, v in metadata.items()}['backbone']
    assert windows['pretrained_window_sizes'] == WINDOWS


def test_accumulated_gradients(spread):
    expected = dict(alone(STEPS, parts=2)[0].state_dict())
    assert_close(weights(spread, 'zero_parts', STEPS), expected, atol=1e-6, rtol=0)


def test_a_step_that_is_not_finite_in_one_process_is_skipped(spread):
    expected = dict(alone(STEPS - 1)[0].state_dict())
    assert_close(weights(spread, 'zero_skipping', STEPS), expected, atol=1e-6, rtol=0)
    log = (spread / 'log_0.txt').read_text()  # of the process whose own loss was finite
    assert 'Skipped iteration 2: a loss of nan' in log and 'samples: index 3. 1 in a row' in log


def test_initial_weights_are_read_by_one_process(spread):
    """The other process, which has no such file, gets them and their windows from the first."""
    for shared, loaded in zip(written(spread, 'zero_init'), written(spread, 'zero')):
        assert shared['losses'] == loaded['losses']


def test_a_checkpoint_has_the_moments_of_all(spread):
    checkpoint = read_checkpoint_file(spread / 'zero' / f'iter_{STEPS}.pth')
    params = sum(1 for _ in Classifier(num_classes=3).parameters())
    assert len(checkpoint['optimizer']['state']) == params
    steps = {float(state['step']) for state in checkpoint['optimizer']['state'].values()}
    assert steps == {STEPS}


@pytest.mark.parametrize('name', ['zero', 'zero_resumed'])
def test_each_process_holds_the_moments_of_its_share(spread, name):
    """Of no parameter both have them, and the fullest has no more than the plan says, but for the
    groups: each is dealt out on its own.
    """
    sizes = [p.numel() for p in Classifier(num_classes=3).parameters()]
    entries = written(spread, name)
    assert sum(entry['moments'] for entry in entries) == 2 * sum(sizes)
    fullest = max(entry['moments'] for entry in entries) / 2
    assert fullest <= largest_share(sizes, 2) + max(sizes) / 2
    assert {entry['parameters'] for entry in entries} == {sum(sizes)}


def test_the_plan_knows_the_share_of_a_real_model(spread):
    """SwinV2-T: exact in a single group, within a thousandth in the groups of layer decay."""
    with torch.device('meta'):
        sizes = [p.numel() for p in SwinTransformerV2('t').parameters()]
    planned = largest_share(sizes, 2)
    found = written(spread, 'sizes')
    assert max(entry['one_group'] for entry in found) == planned
    assert max(entry['groups'] for entry in found) == pytest.approx(planned, rel=1e-3)


def test_optimizers_that_cannot_be_sharded():
    with pytest.raises(ConfigError, match="optimizer.type='Lion' is not one"):
        with_zero(ConfigDict(optimizer=dict(type='Lion', lr=1.0)))
    with pytest.raises(ConfigError, match='needs the config of one optimizer'):
        with_zero(ConfigDict(generator=dict(optimizer=dict(type='Adam'))))
