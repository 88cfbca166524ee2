"""The loss on the validation set, in the log next to the metrics."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from torch import nn

PREFIX = 'val_'


@HOOKS.register_module()
class ValLossHook(Hook):
    """Compute the training loss on the validation set after each validation.

    The log gets `val_loss` and its parts, such as `val_loss_cls`, as means over batches. Models
    are in training mode, in which all detectors compute losses, but without dropout, drop path and
    updates of statistics. Random numbers are the same each time, and those of the training go on
    as if nothing had happened.

    Args:
        dataloader: Config of a loader whose pipeline makes training targets, see
            `Task.prepare_val_loss`.
        targets_in_training_only: Whether `data_preprocessor` prepares targets in training mode
            only, as those of mmdet and mmseg do.
    """

    priority = 'HIGH'  # before the logger

    def __init__(self, dataloader: Mapping, targets_in_training_only: bool = False) -> None:
        self.config = copy.deepcopy(dict(dataloader))
        self.targets_in_training_only = targets_in_training_only
        self.loader: Any = None

    def after_val_epoch(self, runner: Any, metrics: MutableMapping | None = None) -> None:
        with fixed_randomness(), losses_without_noise(runner.model):
            if self.loader is None:
                self.loader = runner.build_dataloader(copy.deepcopy(self.config))
            means = self._means(runner.model)
        for name, value in means.items():
            key = f'val/{PREFIX}{name}'
            runner.message_hub.log_scalars.pop(
                key, None
            )  # or the log shows a mean with earlier ones
            runner.message_hub.update_scalar(key, value)
            if metrics is not None:
                metrics[f'{PREFIX}{name}'] = value

    @torch.no_grad()
    def _means(self, model: nn.Module) -> dict[str, float]:
        """Means over the batches of all processes."""
        inner = model.module if is_model_wrapper(model) else model
        sums: dict[str, torch.Tensor] = {}
        for batch in self.loader:
            data = inner.data_preprocessor(batch, self.targets_in_training_only)
            losses = model(**data, mode='loss')
            total, parts = inner.parse_losses(losses)
            for name, value in {**parts, 'loss': total}.items():
                sums[name] = sums.get(name, 0) + value.detach().double().cpu()
        names = sorted(sums, key=lambda name: (name != 'loss', name))
        count = torch.tensor(len(self.loader), dtype=torch.double)
        counted = torch.stack([*(sums[name] for name in names), count])
        all_reduce(counted)
        return {name: float(value / counted[-1]) for name, value in zip(names, counted)}


@contextmanager
def losses_without_noise(model: nn.Module) -> Iterator[None]:
    """Training mode, but modules that are random or keep statistics are in evaluation mode."""
    modes = {module: module.training for module in model.modules()}
    model.train()
    for module in model.modules():
        is_noise = isinstance(module, nn.modules.dropout._DropoutNd | nn.MultiheadAttention)
        is_noise |= isinstance(module, nn.modules.batchnorm._BatchNorm)
        if is_noise or type(module).__name__ == 'DropPath':
            module.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def fixed_randomness(seed: int = 0) -> Iterator[None]:
    """Seed Python, NumPy and torch, and restore their states afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
