"""Skip steps whose loss or gradients are not finite, and stop after many in a row."""

from __future__ import annotations

import functools
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from torch import Tensor

from ..checkpoints.sharded_tensors import own_part
from ..shared_errors import shared_errors
from .resume import is_accumulating


class NonFiniteError(RuntimeError):
    """Too many steps in a row had a loss or a gradient that is not finite."""


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Skip steps whose loss or gradients are inf or NaN, without touching weights or optimizer.

    Batch norm's running statistics are restored, too. If one process has to skip a step, all skip
    it. With loss scaling (`AmpOptimWrapper`) only the loss is checked: the scaler handles gradients
    that overflow.

    Args:
        max_in_a_row: Number of consecutive skipped steps that ends the run, with a checkpoint from
            which `--resume` repeats the last of them.

    Raises:
        NonFiniteError: Names the samples and the checkpoint.
    """

    priority = 'LOW'  # after hooks that change the batch

    def __init__(self, max_in_a_row: int = 10) -> None:
        if max_in_a_row < 1:
            raise ValueError(f'max_in_a_row={max_in_a_row} of NonFiniteHook must be at least 1')
        self.max_in_a_row = max_in_a_row
        self.skipped = self.in_a_row = 0
        self._runner: Any = None
        # A step has several iterations, and so several batches, if gradients are accumulated.
        self._start: dict[str, int] = {}  # progress at the start of the step
        self._numbers: list[int] = []  # of its batches
        self._buffers: list[tuple[Tensor, Tensor]] = []
        self._losses: list[Tensor] = []

    def before_train(self, runner: Any) -> None:
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):  # the model steps several optimizers itself
            return
        self._runner, backward, step = runner, wrapper.backward, wrapper.step

        def recorded_backward(loss: Tensor, **kwargs: Any) -> None:
            self._losses.append(loss.detach())
            backward(loss, **kwargs)

        @functools.wraps(step)  # copies the attribute by which schedulers detect a counted `step`
        def guarded_step(**kwargs: Any) -> None:
            if self._is_usable(wrapper):
                step(**kwargs)

        # On the instance: any subclass of OptimWrapper is guarded, also one of the user's.
        wrapper.backward, wrapper.step = recorded_backward, guarded_step

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if not self._numbers:
            self._start = dict(epoch=runner.epoch, iter=runner.iter, position=batch_idx)
            floats = (b for b in runner.model.buffers() if b.is_floating_point())
            self._buffers = [(buffer, buffer.clone()) for buffer in floats]
        self._numbers.append(batch_idx)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        if not is_accumulating(runner):
            self._numbers, self._losses = [], []

    def after_train(self, runner: Any) -> None:
        if self.skipped:
            runner.logger.warning(
                f'{self.skipped} steps were skipped in total: loss or gradients were not finite.'
            )

    def _is_usable(self, wrapper: OptimWrapper) -> bool:
        """Whether to step; if not, all state but the number of steps is restored."""
        is_scaled = hasattr(wrapper, 'loss_scaler')
        groups = wrapper.optimizer.param_groups
        parameters = [p for group in groups for p in group['params'] if p.grad is not None]
        gradients = [] if is_scaled else [p.grad for p in parameters]
        faults = [not_finite(self._losses), not_finite(gradients)]
        # All ranks step or none does: else their weights diverge.
        if not any(agreed(faults, gradients or self._losses)):
            self.in_a_row = 0
            return True
        for buffer, before in self._buffers:
            buffer.copy_(before)
        self._count(faults)
        return False

    def _count(self, faults: list[bool]) -> None:
        runner = self._runner
        self.skipped += 1
        self.in_a_row += 1
        message = f'iteration {runner.iter + 1}: {self._description(faults)}.'
        if self.in_a_row < self.max_in_a_row:
            runner.logger.warning(
                f'Skipped {message} {self.in_a_row} in a row, {self.skipped} in total.'
            )
            return
        path = self._dump()
        raise NonFiniteError(
            f'{message} {self.in_a_row} steps in a row were skipped (max_in_a_row of '
            f'NonFiniteHook). Repeat this step with --resume {path}; to continue, use an earlier '
            'checkpoint with a lower learning rate, or remove these samples'
        )

    def _description(self, faults: list[bool]) -> str:
        """What is not finite, and the samples of the processes with such a loss, or of all."""
        losses = [f'{float(loss):.4g}' for loss in self._losses] if faults[0] else []
        own = dict(losses=losses, gradients=faults[1], names=self._sample_names())
        found = all_gather_object(own)
        faulty = [part for part in found if part['losses']]
        what = [f'a loss of {", ".join(part["losses"])}' for part in faulty]
        what += ['gradients'] if any(part['gradients'] for part in found) else []
        names = [name for part in faulty or found for name in part['names']]
        return f'{" and ".join(what)} that are not finite; samples: {", ".join(names)}'

    def _dump(self) -> str:
        """Save the state before the step; `last_checkpoint` does not name this checkpoint."""
        runner, start = self._runner, self._start
        name = f'nonfinite_iter_{start["iter"]}.pth'
        loop = runner.train_loop
        if hasattr(loop, 'position'):
            loop.position = start['position']
        meta = dict(epoch=start['epoch'], iter=start['iter'])
        # torchrun kills all ranks when one exits: none may leave before rank 0 has written.
        with shared_errors():
            runner.save_checkpoint(runner.work_dir, name, meta=meta, by_epoch=False)
        return f'{runner.work_dir}/{name}'

    def _sample_names(self) -> list[str]:
        """Files of this process's samples in the step, or their dataset indices."""
        loader = self._runner.train_loop.dataloader
        recent = getattr(loader.batch_sampler, 'recent', None)
        if recent is None:
            return ['unknown, because the training loop is not one of this package']
        chosen = (recent[number] for number in self._numbers)
        return [_name(loader.dataset, index) for batch in chosen for index in batch]


def not_finite(tensors: list[Tensor]) -> bool:
    """Whether any tensor, or this process's rows of it, has a value that is inf or NaN."""
    tensors = [t for t in map(own_part, tensors) if t.numel()]
    if not tensors:
        return False
    largest = torch.stack([torch.linalg.vector_norm(t, float('inf')).float() for t in tensors])
    return not bool(largest.isfinite().all())


def agreed(faults: list[bool], on_device_of: list[Tensor]) -> list[bool]:
    """Element-wise OR over all processes."""
    if get_world_size() == 1:
        return faults
    device = on_device_of[0].device if on_device_of else 'cpu'
    flags = torch.tensor(faults, dtype=torch.int32, device=device)
    all_reduce(flags, 'max')
    return flags.bool().tolist()


def _name(dataset: Any, index: int) -> str:
    try:
        info = dataset.get_data_info(index)
    except (AttributeError, NotImplementedError):
        info = {}
    return str(info.get('img_path') or info.get('filename') or f'index {index}')
