"""`--val-loss` logs the loss on the validation set, and changes nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from swinv2_dense.training.val_loss import ValLossHook


class Net(BaseModel):
    """A regression with everything that differs between training and evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1)
        )

    def forward(self, inputs: torch.Tensor, target: torch.Tensor, mode: str = 'tensor'):
        if mode == 'loss':
            error = self.layers(inputs)[:, 0] - target
            return dict(loss_square=error.square().mean(), loss_size=0.1 * error.abs().mean())
        return [self.layers(inputs)]


class Random(Hook):
    """Uses random numbers of all kinds in each iteration."""

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self.seen = [*getattr(self, 'seen', []), np.random.rand(), float(torch.rand(()))]


def loader(seed: int, batch: int = 4, count: int = 10) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(count, 3, generator=generator)
    data = [dict(inputs=x, target=x.sum()) for x in inputs]
    return DataLoader(
        data, batch, sampler=DefaultSampler(data, shuffle=False), collate_fn=default_collate
    )


def train(folder, val_loss: bool) -> tuple[Net, dict, list]:
    """A model after three epochs, the metrics of the last validation, and the random numbers."""
    from mmengine.evaluator import BaseMetric

    class Nothing(BaseMetric):
        def process(self, data_batch, data_samples) -> None:
            self.results.append(1)

        def compute_metrics(self, results) -> dict:
            return dict(nothing=0.0)

    class Last(Hook):
        priority = 'LOWEST'

        def after_val_epoch(self, runner, metrics=None) -> None:
            self.metrics = dict(metrics)

    torch.manual_seed(0)
    last, used = Last(), Random()
    hooks = [last, used]
    if val_loss:
        hooks.append(ValLossHook(dict(dataset=[], batch_size=4)))
        hooks[-1].loader = loader(1)
    model = Net()
    runner = Runner(
        model, str(folder), loader(0), loader(1),
        train_cfg=dict(by_epoch=True, max_epochs=3), val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)), val_evaluator=[Nothing()],
        custom_hooks=hooks, randomness=dict(seed=0), experiment_name=folder.name,
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)), log_level='ERROR',
    )  # fmt: skip
    runner.train()
    return model, last.metrics, used.seen


def test_it_is_the_loss_without_dropout_and_with_running_statistics(tmp_path):
    model, metrics, _ = train(tmp_path / 'with', True)
    model.eval()
    squares, sizes = [], []
    for batch in loader(1):  # batches of 4, 4, 2
        with torch.no_grad():
            error = model.layers(batch['inputs'])[:, 0] - batch['target']
        squares.append(error.square().mean())
        sizes.append(0.1 * error.abs().mean())
    assert metrics['val_loss_square'] == pytest.approx(float(np.mean(squares)))
    assert metrics['val_loss_size'] == pytest.approx(float(np.mean(sizes)))
    assert metrics['val_loss'] == pytest.approx(float(np.mean(squares) + np.mean(sizes)))
    assert list(metrics)[0] == 'nothing'  # save_best='auto' compares the first


def test_the_training_goes_on_as_without_it(tmp_path):
    (model, _, used), (plain, metrics, others) = (
        train(tmp_path / name, name == 'with') for name in ('with', 'without')
    )
    assert 'val_loss' not in metrics and used == others
    for (name, a), b in zip(model.state_dict().items(), plain.state_dict().values()):
        assert torch.equal(a, b), name
