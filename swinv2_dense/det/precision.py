"""Keep parts of detectors in fp32 under bf16 or fp16 autocast.

mmcv has no bf16 kernels for RoIAlign, deformable convolution, deformable attention and NMS
(open-mmlab/mmcv#2878, #3061). Casting at these operators is not enough: a box decoded in bf16 is
rounded before it reaches an operator (1001.3 becomes 1000). So features are cast at the input of
such operators, and predictions at the output of heads, before they are decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmcv.ops import (
    DeformConv2d,
    ModulatedDeformConv2d,
    MultiScaleDeformableAttention,
)
from mmdet.models.dense_heads import DETRHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead, FusedSemanticHead
from mmdet.models.roi_heads.roi_extractors.base_roi_extractor import BaseRoIExtractor
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from torch import nn

FP32_OPERATORS = (
    BaseRoIExtractor,
    DeformConv2d,
    ModulatedDeformConv2d,
    MultiScaleDeformableAttention,
    DETRHead,  # adds reference points to its predictions itself
)
HEADS = (BaseDenseHead, BBoxHead, FCNMaskHead, FusedSemanticHead)


# 'Fp32BordersHook' is the former name, kept for one release.
@HOOKS.register_module(name=['DetectorFp32Hook', 'Fp32BordersHook'])
class DetectorFp32Hook(Hook):
    """Apply `keep_borders_in_fp32` to the model of a run. No effect without autocast."""

    def before_run(self, runner: Any) -> None:
        model = runner.model
        keep_borders_in_fp32(model.module if is_model_wrapper(model) else model)


def keep_borders_in_fp32(model: nn.Module) -> None:
    """Make a detector run under bf16 autocast without rounding its boxes.

    Operators without a bf16 kernel compute in fp32, and heads return fp32. Idempotent.
    """
    for module in model.modules():
        if isinstance(module, FP32_OPERATORS) and _leave_autocast not in _hooks(module):
            module.register_forward_pre_hook(_enter_fp32, with_kwargs=True)
            module.register_forward_hook(_leave_autocast, always_call=True)
        elif isinstance(module, HEADS) and _fp32_output not in _hooks(module):
            module.register_forward_hook(_fp32_output)


def _hooks(module: nn.Module) -> list[Callable]:
    return list(module._forward_hooks.values())


def _enter_fp32(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    device = next((t.device.type for t in _tensors((args, kwargs))), 'cpu')
    context = torch.autocast(device, enabled=False)
    context.__enter__()
    module.__dict__.setdefault('_fp32_contexts', []).append(context)
    return _fp32(args), _fp32(kwargs)


def _leave_autocast(module: nn.Module, args: tuple, output: Any) -> None:
    module.__dict__['_fp32_contexts'].pop().__exit__(None, None, None)


def _fp32_output(module: nn.Module, args: tuple, output: Any) -> Any:
    return _fp32(output)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in _tensors(v)]
    return [value] if isinstance(value, torch.Tensor) else []


def _fp32(value: Any) -> Any:
    """Cast the bf16 and fp16 tensors in nested tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if isinstance(value, dict):
        return {k: _fp32(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_fp32(v) for v in value)
    return value
