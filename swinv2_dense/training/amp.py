"""Mixed precision on the CPU, which mmengine lacks: bf16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from ..config_parts import type_name


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """`OptimWrapper` under bf16 autocast, on any device.

    mmengine's `AmpOptimWrapper` rejects the CPU. bf16 has the range of fp32, so the loss needs no
    scaling. Takes the arguments of `OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


def enable_amp(cfg: dict, has_cuda: bool) -> None:
    """Enable mixed precision in a config: fp16 with dynamic loss scaling, or bf16 on the CPU.

    A wrapper that already uses bf16 stays as it is.
    """
    wrapper = cfg['optim_wrapper']
    if not has_cuda:
        run_amp_on_cpu(cfg, force=True)
    elif type_name(wrapper) != 'Bf16OptimWrapper':
        wrapper['type'] = 'AmpOptimWrapper'
        wrapper['loss_scale'] = 'dynamic'


def run_amp_on_cpu(cfg: dict, force: bool = False) -> None:
    """Replace `AmpOptimWrapper`, which needs an accelerator; with `force`, any wrapper."""
    wrapper = cfg.get('optim_wrapper') or {}
    if force or type_name(wrapper) == 'AmpOptimWrapper':
        wrapper['type'] = 'Bf16OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            wrapper.pop(key, None)
