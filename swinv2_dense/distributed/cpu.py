"""Several processes without a GPU, through mmengine: gloo, and what its set-up lacks there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import (
    broadcast,
    broadcast_object_list,
    init_dist,
    is_distributed,
    is_main_process,
)
from mmengine.logging import print_log
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from mmengine.utils.dl_utils import set_multi_processing
from torch import Tensor, nn
from torch.autograd import Function

from ..config_parts import type_name
from ..errors import ConfigError
from ..resilience.shared_errors import shared_errors

# The variable by which each launcher tells a process how many there are.
WORLD_SIZES = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE')
STARTS = dict(pytorch='tools/dist_train.sh', slurm='tools/slurm_train.sh', mpi='mpirun')


def world_size(launcher: str) -> int:
    """Number of processes of a run, also before they are joined.

    Raises:
        ConfigError: The process was not started by `launcher`.
    """
    if launcher == 'none':
        return 1
    variable = WORLD_SIZES[launcher]
    if variable not in os.environ:
        raise ConfigError(
            f'--launcher={launcher}, but {variable} is not set: start the processes with '
            f'{STARTS[launcher]}, or leave --launcher out for one process'
        )
    return int(os.environ[variable])


def join_on_cpu(cfg: Config) -> None:
    """Without an accelerator, join the processes of a run through gloo, before its runner does.

    mmengine's `init_dist` calls `torch.cuda.set_device` whatever the backend, and its runner and
    `DDPStrategy` give `device_ids` to the wrapper of the model (0.10.7, and onedl-mmengine
    0.10.12). A runner leaves processes that are joined as they are, and takes the wrapper that the
    config names. Wrappers of other strategies are not touched.

    Raises:
        ConfigError: See `world_size`.
    """
    launcher = cfg.get('launcher', 'none')
    world_size(launcher)
    if launcher == 'none' or get_device() != 'cpu':
        return
    env = cfg.get('env_cfg') or {}
    settings = dict(backend='nccl') | (env.get('dist_cfg') or {})
    if settings['backend'] == 'nccl':
        settings['backend'] = 'gloo'
    if not is_distributed():
        set_multi_processing(**(env.get('mp_cfg') or {}), distributed=True)
        with _without_cuda():
            init_dist(launcher, **settings)
    strategy = cfg.get('strategy')
    if strategy is None:
        search = dict(find_unused_parameters=cfg.get('find_unused_parameters', False))
        cfg.model_wrapper_cfg = _on_cpu(cfg.get('model_wrapper_cfg') or search)
    elif type_name(strategy) == 'DDPStrategy':
        strategy.model_wrapper = _on_cpu(strategy.get('model_wrapper') or {})


@contextmanager
def _without_cuda() -> Iterator[None]:
    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = set_device


def _on_cpu(wrapper: dict) -> dict:
    """A wrapper's config with the class below in place of mmengine's; others stay."""
    if type_name(wrapper) not in ('', 'MMDistributedDataParallel'):
        return wrapper
    return dict(broadcast_buffers=False) | wrapper | dict(type='AnyDeviceDistributedDataParallel')


@MODEL_WRAPPERS.register_module()
class AnyDeviceDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's wrapper, also for a model on the CPU, with batch norm over all processes there.

    Args:
        module: The model. On the CPU its layers of `nn.SyncBatchNorm` become `CpuSyncBatchNorm`.
        device_ids: The GPU of this process; mmengine gives it without one, too.
        settings: Further arguments of `MMDistributedDataParallel`.
    """

    def __init__(self, module: nn.Module, device_ids: Any = None, **settings: Any) -> None:
        if next(module.parameters()).device.type == 'cpu':
            device_ids = None
            layers = synchronise_on_cpu(module)
            print_log(
                f'No GPU is found: {dist.get_backend()} joins {dist.get_world_size()} processes '
                'on the CPU (nccl of env_cfg.dist_cfg.backend is for GPUs). '
                f'{layers} layers of SyncBN run there too',
                logger='current',
            )
        super().__init__(module=module, device_ids=device_ids, **settings)


def init_in_process_0(model: nn.Module) -> nn.Module:
    """Initialize a model in process 0, which alone reads a file of weights, and send it to all.

    Raises:
        Exception: The error of process 0, in all processes.
    """
    with shared_errors():
        if is_main_process():
            model.init_weights()
    backbones = [m for m in model.modules() if hasattr(m, 'set_pretrained_window_sizes')]
    windows = [backbone.pretrained_window_sizes for backbone in backbones]
    broadcast_object_list(windows)  # a file of weights sets them, too
    for backbone, sizes in zip(backbones, windows):
        backbone.set_pretrained_window_sizes(sizes, 'process 0')
    for value in model.state_dict().values():
        broadcast(value)
    return model


def synchronise_on_cpu(module: nn.Module) -> int:
    """Give the layers of SyncBN in a model the class below; their number."""
    norms = [m for m in module.modules() if isinstance(m, nn.SyncBatchNorm)]
    for norm in norms:
        norm.__class__ = CpuSyncBatchNorm
    return len(norms)


class CpuSyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """`nn.SyncBatchNorm`, which has no CPU kernel and which DDP refuses there, in plain operations.

    Processes may hold unlike numbers of values. The variance is that of centred values, as
    E[x^2] - E[x]^2 cancels in fp32.
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
            raise ValueError(f'batch norm of {tuple(x.shape)} in all: one value has no variance')
        mean = _Sum.apply(values.sum(axes), self.process_group) / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes), self.process_group) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        y = centred * (variance + self.eps).rsqrt().view(shape)
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
    """Sum over processes, whose gradient is the sum of all processes' gradients."""

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
