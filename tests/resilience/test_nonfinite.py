"""Steps that are not finite are skipped; many in a row end the run, and its dump repeats one."""

from __future__ import annotations

import copy
import re
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import DATASETS, HOOKS, MODELS, OPTIM_WRAPPERS, DefaultScope
from torch import Tensor, nn

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.cli.common import build_runner
from swinv2_dense.resilience.nonfinite import NonFiniteError, not_finite

pytest.importorskip('mmseg')
SAMPLES = 12
SEVENTH = r'\S+/6.png, \S+/7.png'


@DATASETS.register_module()
class Numbers(BaseDataset):
    """Sample i is a vector filled with i; those in `bad` are NaN."""

    def __init__(self, bad: list[int], **kwargs: object) -> None:
        self.bad = bad
        super().__init__(pipeline=[], **kwargs)

    def load_data_list(self) -> list[dict]:
        found = []
        for i in range(SAMPLES):
            path = Path(self.data_root) / f'{i}.png'
            path.touch()
            value = float('nan') if i in self.bad else float(i)
            found.append(dict(img_path=str(path), inputs=torch.full((4,), value)))
        return found


@MODELS.register_module()
class Sums(BaseModel):
    """With batch norm and dropout, and optionally an infinite gradient of a finite loss."""

    def __init__(self, sqrt: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 1)
        self.sqrt = sqrt

    def forward(self, inputs: list[Tensor], mode: str = 'loss', **_: object) -> dict[str, Tensor]:
        x = nn.functional.dropout(self.norm(torch.stack(inputs)))
        loss = (self.last(x) - 1).square().mean()
        if self.sqrt:  # its derivative at 0 is infinite
            loss = loss + (self.last.weight.sum() * 0).abs().sqrt()
        return dict(loss=loss)


@HOOKS.register_module()
class Watch(Hook):
    """Records losses, and model and optimizer state after each step."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.states: list[dict] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append(float(outputs['loss']))
        optimizer = runner.optim_wrapper.optimizer.state_dict()
        self.states.append(copy.deepcopy(dict(model=runner.model.state_dict(), own=optimizer)))


def tmp_root(work_dir: Path) -> Path:
    folder = work_dir / 'images'
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def config(work_dir: Path, bad: list[int] = (), parts: int = 1, **changes: object) -> Config:
    cfg = dict(
        default_scope='mmseg',
        work_dir=str(work_dir),
        log_level='WARNING',
        model=dict(type='Sums'),
        train_cfg=dict(by_epoch=False, max_iters=6),
        train_dataloader=dict(
            dataset=dict(type='Numbers', bad=list(bad), data_root=str(tmp_root(work_dir))),
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=2,
        ),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=0.1), accumulative_counts=parts,
            clip_grad=dict(max_norm=1.0),
        ),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=100, by_epoch=False)),
        custom_hooks=[dict(type='Watch'), dict(type='NonFiniteHook', max_in_a_row=2)],
        randomness=dict(seed=1),
    )  # fmt: skip
    return Config(cfg | changes)


def train(cfg: Config) -> tuple[Watch, object]:
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = build_runner(cfg)
    watch = next(hook for hook in runner.hooks if isinstance(hook, Watch))
    try:
        runner.train()
    finally:
        runner.train_loop.dataloader.dataset.__dict__.pop('__getitems__', None)
    return watch, runner


def same(first: object, second: object) -> bool:
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return torch.equal(first, second) if isinstance(first, Tensor) else first == second


def test_a_step_that_is_not_finite_changes_nothing(tmp_path, capfd):
    watch, runner = train(config(tmp_path, bad=[5]))  # in the third batch
    before, after = watch.states[1:3]
    assert same(before['own'], after['own'])
    changed = [k for k in before['model'] if not same(before['model'][k], after['model'][k])]
    assert changed == ['norm.num_batches_tracked']  # a count
    assert [loss == loss for loss in watch.losses] == [True, True, False, True, True, True]
    assert not same(after['own'], watch.states[3]['own'])  # the next step updates the weights
    assert all(p.isfinite().all() for p in runner.model.state_dict().values())
    printed = ''.join(capfd.readouterr())
    assert re.search(r'Skipped iteration 3: a loss of nan.*samples: \S+/4.png, \S+/5.png', printed)
    assert '1 in a row, 1 in total' in printed and '1 steps were skipped in total' in printed


def test_a_gradient_alone_is_enough(tmp_path, capfd):
    with pytest.raises(NonFiniteError, match=r'iteration 2: gradients that are not finite'):
        train(config(tmp_path, model=dict(type='Sums', sqrt=True)))
    assert 'Skipped iteration 1: gradients' in ''.join(capfd.readouterr())


@OPTIM_WRAPPERS.register_module()
class ScaledOptimWrapper(AmpOptimWrapper):
    """mmengine's fp16 wrapper with loss scaling, without its check for a GPU."""

    def __init__(self, **settings: object) -> None:
        OptimWrapper.__init__(self, **settings)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=4.0)
        self._scale_update_param = None

    def optim_context(self, model: nn.Module) -> AbstractContextManager:
        return OptimWrapper.optim_context(self, model)


SCALED = dict(type='ScaledOptimWrapper', optimizer=dict(type='AdamW', lr=0.1))


def test_a_loss_under_a_scale(tmp_path, capfd):
    """The scaler skips the step itself, but does not restore the statistics of batch norm."""
    watch, runner = train(config(tmp_path / 'one', bad=[5], optim_wrapper=SCALED))
    before, after = watch.states[1:3]
    changed = [k for k in before['model'] if not same(before['model'][k], after['model'][k])]
    assert changed == ['norm.num_batches_tracked'] and same(before['own'], after['own'])
    assert not same(after['own'], watch.states[3]['own'])
    assert runner.optim_wrapper.loss_scaler.get_scale() == 4.0
    assert '1 steps were skipped in total' in ''.join(capfd.readouterr())
    with pytest.raises(NonFiniteError, match=r'a loss of nan.*6\.png, \S+7\.png.*2 steps in a row'):
        train(config(tmp_path / 'two', bad=[5, 7], optim_wrapper=SCALED))


def test_gradients_that_overflow_are_left_to_the_scaler(tmp_path):
    watch, runner = train(
        config(tmp_path, model=dict(type='Sums', sqrt=True), optim_wrapper=SCALED)
    )
    assert len(watch.losses) == 6 and runner.optim_wrapper.loss_scaler.get_scale() < 4.0
    assert same(watch.states[0]['model']['last.weight'], watch.states[-1]['model']['last.weight'])


def test_only_consecutive_steps_count(tmp_path):
    watch, _ = train(config(tmp_path, bad=[0, 4, 8]))
    assert len(watch.losses) == 6


@pytest.mark.slow
@pytest.mark.parametrize('by_epoch', [False, True])
@pytest.mark.parametrize('parts', [1, 2])
def test_the_dump_repeats_the_step(tmp_path, by_epoch, parts):
    """With the same samples and dropout, and the weights from before the step."""
    changes = dict(train_cfg=dict(by_epoch=True, max_epochs=1)) if by_epoch else {}
    bad = [4, 6] if parts == 1 else [0, 4]  # with two accumulated parts, 4 and 5 are one step
    if parts == 2:
        bad = [0, 6]
    with pytest.raises(NonFiniteError) as error:
        train(config(tmp_path, bad, parts, **changes))
    path = tmp_path / f'nonfinite_iter_{3 if parts == 1 else 2}.pth'
    assert f'--resume {path}' in str(error.value) and re.search(SEVENTH, str(error.value))
    state = read_checkpoint_file(path)
    assert all(value.isfinite().all() for value in state['state_dict'].values())
    assert not (tmp_path / 'last_checkpoint').exists()
    # Without the bad sample, the repeated step has the loss of a run that never had it: dropout and
    # the order of samples are the same.
    resumed = config(tmp_path / 'again', [], parts, resume=True, load_from=str(path), **changes)
    again, _ = train(resumed)
    plain = config(tmp_path / 'plain', [], parts, load_from=str(path), **changes)
    plain.custom_hooks.append(dict(type='OneStep', first=int(path.stem.split('_')[-1])))
    expected, _ = train(plain)
    first = int(path.stem.split('_')[-1])
    assert again.losses[0] == pytest.approx(expected.losses[first], rel=1e-6)
    # With the bad sample, it fails again.
    repeated = config(tmp_path / 'bad', bad, parts, resume=True, load_from=str(path), **changes)
    repeated.custom_hooks[1].max_in_a_row = 1
    with pytest.raises(NonFiniteError, match=SEVENTH):
        train(repeated)


@HOOKS.register_module()
class OneStep(Hook):
    """Restore the initial weights before step `first`, so that earlier steps have no effect."""

    priority = 'VERY_HIGH'

    def __init__(self, first: int) -> None:
        self.first = first

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == 0:
            self.weights = copy.deepcopy(runner.model.state_dict())
        if runner.iter == self.first:
            runner.model.load_state_dict(self.weights)


def test_wrong_settings():
    with pytest.raises(ValueError, match='max_in_a_row=0'):
        HOOKS.build(dict(type='NonFiniteHook', max_in_a_row=0))
    assert not not_finite([]) and not not_finite([torch.ones(3)])
    assert not_finite([torch.ones(3), torch.tensor([1.0, float('nan')])])
    assert not_finite([torch.tensor([float('-inf')])])
