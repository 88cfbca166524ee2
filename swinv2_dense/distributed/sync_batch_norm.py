"""Synchronized batch norm on the CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function


def convert_sync_batchnorm(module: nn.Module) -> int:
    """Turn the SyncBN layers of a model into the class below and return their number."""
    norms = [m for m in module.modules() if isinstance(m, nn.SyncBatchNorm)]
    for norm in norms:
        norm.__class__ = CpuSyncBatchNorm
    return len(norms)


class CpuSyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """`nn.SyncBatchNorm` in plain operations; torch's has no CPU kernel, and DDP rejects it there.

    Processes may hold different numbers of values. The variance is computed from centered values,
    because E[x^2] - E[x]^2 cancels in fp32.
    """

    process_group = None  # all processes

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f'input of shape {tuple(x.shape)} has no channels: (N, C, ...)')

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, ...) to the same shape and type."""
        if not self.training:
            return super().forward(x)
        axes = [0, *range(2, x.dim())]
        shape = [1, -1] + [1] * (x.dim() - 2)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = _Sum.apply(values.new_tensor(x.numel() / x.size(1)), self.process_group)
        if count < 2:
            raise ValueError(f'batch norm over {tuple(x.shape)}: a single value has no variance')
        mean = _Sum.apply(values.sum(axes), self.process_group) / count
        centered = values - mean.view(shape)
        variance = _Sum.apply(centered.square().sum(axes), self.process_group) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        y = centered * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if not self.track_running_stats:
            return
        self.num_batches_tracked += 1
        rate = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(variance.to(self.running_var.dtype), rate)


class _Sum(Function):
    """All-reduce with sum; its gradient is the all-reduced gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _summed(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _summed(grad, ctx.group), None


def _summed(x: Tensor, group: Any) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=group)
    return total
