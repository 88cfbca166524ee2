"""Distributed runs without a GPU: gloo, and what mmengine's setup lacks for it."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed
from mmengine.logging import print_log
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from mmengine.utils.dl_utils import set_multi_processing
from torch import nn

from ..compat import without_cuda_device
from ..config_parts import type_name
from .launchers import world_size
from .sync_batch_norm import convert_sync_batchnorm


def init_gloo_on_cpu(cfg: Config) -> None:
    """Without an accelerator, connect the processes of a run through gloo, before its runner does.

    The runner does not reconnect processes, and uses the model wrapper that the config names.
    mmengine's own (0.10.7, and onedl-mmengine 0.10.12) gets `device_ids` from the runner and from
    `DDPStrategy`, which fails on the CPU. Wrappers of other strategies are not changed.

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
        with without_cuda_device():
            init_dist(launcher, **settings)
    strategy = cfg.get('strategy')
    if strategy is None:
        search = dict(find_unused_parameters=cfg.get('find_unused_parameters', False))
        cfg.model_wrapper_cfg = _on_cpu(cfg.get('model_wrapper_cfg') or search)
    elif type_name(strategy) == 'DDPStrategy':
        strategy.model_wrapper = _on_cpu(strategy.get('model_wrapper') or {})


def _on_cpu(wrapper: dict) -> dict:
    """Replace mmengine's wrapper with the class below; keep others."""
    if type_name(wrapper) not in ('', 'MMDistributedDataParallel'):
        return wrapper
    return dict(broadcast_buffers=False) | wrapper | dict(type='DeviceAgnosticDDP')


@MODEL_WRAPPERS.register_module(
    name=['DeviceAgnosticDDP', 'AnyDeviceDistributedDataParallel']
)  # the old name, for one release
class DeviceAgnosticDDP(MMDistributedDataParallel):
    """mmengine's DDP wrapper that also works on the CPU, including SyncBN.

    Args:
        module: The model. On the CPU its `nn.SyncBatchNorm` layers become `CpuSyncBatchNorm`.
        device_ids: The GPU of this process; mmengine also passes it without a GPU.
        settings: Further arguments of `MMDistributedDataParallel`.
    """

    def __init__(self, module: nn.Module, device_ids: Any = None, **settings: Any) -> None:
        if next(module.parameters()).device.type == 'cpu':
            device_ids = None
            layers = convert_sync_batchnorm(module)
            print_log(
                f'No GPU found: {dist.get_backend()} connects {dist.get_world_size()} processes on '
                'the CPU (nccl in env_cfg.dist_cfg.backend is for GPUs). '
                f'{layers} SyncBN layers run on the CPU, too',
                logger='current',
            )
        super().__init__(module=module, device_ids=device_ids, **settings)
