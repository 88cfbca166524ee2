"""Pre-training in two processes under DDP, ZeRO-1 and FSDP, and resumed after a fault."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from narrow_simmim import write_config, write_images
from same_training import SEED, assert_same_checkpoints, workers
from torch.testing import assert_close
from toy_training import train, train_two

from swinv2_dense import config_path
from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.distributed.parameters import unwrapped_name

pytestmark = pytest.mark.slow
STEPS = 2
# Equal samples and masks for any number of processes, and no rounding that AdamW would enlarge.
SAME_STEPS = """
_base_ = [{config!r}{fragment}]
train_dataloader = dict(
    batch_size=4,
    sampler=dict(shuffle=False),
    dataset=dict(part='all', pipeline=_base_.val_dataloader.dataset.pipeline),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=0.05),
    clip_grad=dict(max_norm=0.1),
)
"""
FAULTY = """
_base_ = {config!r}
custom_imports = dict(
    imports=['swinv2_dense', 'swinv2_dense.pretraining', 'swinv2_dense.transforms', 'toy_training']
)
custom_hooks = [dict(type='FaultHook')]
train_cfg = dict(max_epochs=4)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, write_images(tmp_path / 'images'), drop_path=0.1)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = read_checkpoint_file(folder / 'epoch_1.pth')['state_dict']
    return {unwrapped_name(key): value for key, value in state.items()}


@pytest.mark.parametrize('fragment', ['', 'zero1', 'fsdp'])
def test_two_processes_take_the_steps_of_one(tmp_path: Path, fragment: str) -> None:
    config = write_config(tmp_path, write_images(tmp_path / 'images'))
    sharded = fragment and f', {config_path(f"_base_/schedules/{fragment}.py")!r}'
    for name, more in (('one', ''), ('two', sharded)):
        text = SAME_STEPS.format(config=str(config), fragment=more)
        (tmp_path / f'{name}.py').write_text(text)
    log = tmp_path / 'log.txt'
    flags = (*SEED, '--no-validate')
    one, two = (
        (tmp_path / f'{name}.py', '--work-dir', tmp_path / name, *flags) for name in ('one', 'two')
    )
    assert train(one, log) == 0, log.read_text()[-3000:]
    halves = ('--cfg-options', 'train_dataloader.batch_size=2')
    assert train_two([*two, *halves], log) == [0, 0], log.read_text()[-3000:]
    alone, shared = weights(tmp_path / 'one'), weights(tmp_path / 'two')
    assert_close(shared, alone, atol=2e-6, rtol=1e-5)
    start = tmp_path / 'one' / 'epoch_1.pth'
    assert read_checkpoint_file(start)['meta']['iter'] == STEPS


def test_a_resumed_training_equals_an_uninterrupted_one(config: Path, tmp_path: Path) -> None:
    """Bit for bit, in bf16, with random crops, masks and drop path; killed, with other workers."""
    faulty = tmp_path / 'faulty.py'
    faulty.write_text(FAULTY.format(config=str(config)))

    def run(name: str, *flags: object, num_workers: int = 0, **variables: object) -> int:
        argv = [faulty, '--work-dir', tmp_path / name, *SEED, *flags]
        argv += ['--cfg-options', *workers(num_workers)]
        return train(argv, tmp_path / f'{name}.txt', **variables)

    assert run('whole') == 0, (tmp_path / 'whole.txt').read_text()[-3000:]
    assert run('work', FAULT='kill:3') < 0
    assert run('work', '--resume', FAULT='killed_validating:6') < 0
    assert run('work', '--resume', num_workers=2) == 0
    assert_same_checkpoints(tmp_path / 'work', tmp_path / 'whole', '*.pth')
