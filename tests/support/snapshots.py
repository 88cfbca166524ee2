"""What a model's parameters were before each step of a training."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook


class Snapshots(Hook):
    """The parameters before each iteration; the first are those after initialization."""

    def __init__(self) -> None:
        self.taken: list[dict[str, torch.Tensor]] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.taken.append({n: p.detach().clone() for n, p in runner.model.named_parameters()})
