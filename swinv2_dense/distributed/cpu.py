"""Several processes without a GPU, through mmengine: gloo, and what its set-up lacks there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import (
    init_dist,
    is_distributed,
)
from mmengine.logging import print_log
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from mmengine.utils.dl_utils import set_multi_processing
from torch import nn

from ..config_parts import type_name
from .launchers import world_size
from .sync_batch_norm import convert_sync_batchnorm


def init_gloo_on_cpu(cfg: Config) -> None:
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
    return dict(broadcast_buffers=False) | wrapper | dict(type='DeviceAgnosticDDP')


@MODEL_WRAPPERS.register_module(
    name=['DeviceAgnosticDDP', 'AnyDeviceDistributedDataParallel']
)  # the old name, for one release
class DeviceAgnosticDDP(MMDistributedDataParallel):
    """mmengine's wrapper, also for a model on the CPU, with batch norm over all processes there.

    Args:
        module: The model. On the CPU its layers of `nn.SyncBatchNorm` become `CpuSyncBatchNorm`.
        device_ids: The GPU of this process; mmengine gives it without one, too.
        settings: Further arguments of `MMDistributedDataParallel`.
    """

    def __init__(self, module: nn.Module, device_ids: Any = None, **settings: Any) -> None:
        if next(module.parameters()).device.type == 'cpu':
            device_ids = None
            layers = convert_sync_batchnorm(module)
            print_log(
                f'No GPU is found: {dist.get_backend()} joins {dist.get_world_size()} processes '
                'on the CPU (nccl of env_cfg.dist_cfg.backend is for GPUs). '
                f'{layers} layers of SyncBN run there too',
                logger='current',
            )
        super().__init__(module=module, device_ids=device_ids, **settings)
