"""Window attention modules and sizes that cover all cases."""

from __future__ import annotations

import math

import torch

from swinv2_dense.models.window_attention import WindowAttention

# Map, window, pretrained window: one to three axes; odd, padded, clamped on one axis or on all.
CASES = {
    '1d': ((11,), (4,), (4,)),
    'divisible': ((8, 12), (4, 4), (4, 4)),
    'padded': ((6, 7), (4, 4), (4, 4)),
    'odd window': ((7, 10), (3, 5), (3, 5)),
    'clamped height': ((3, 9), (4, 4), (4, 4)),
    'smaller than window': ((3, 5), (8, 8), (8, 8)),
    'exact window': ((4, 4), (4, 4), (4, 4)),
    'transferred': ((9, 6), (6, 4), (3, 2)),
    'window 1': ((3, 5), (1, 2), (1, 1)),
    '3d': ((3, 5, 4), (2, 4, 2), (2, 4, 2)),
    '3d clamped time': ((2, 5, 3), (4, 2, 3), (4, 2, 2)),
}


def randomized(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every parameter random and large enough to matter; logit scales around their clamp."""
    generator = torch.Generator().manual_seed(seed)
    for name, param in module.named_parameters():
        param.data.copy_(torch.randn(param.shape, generator=generator) * 0.5)
        if name.endswith('logit_scale'):
            param.data.add_(math.log(20))
    return module


def build(
    window: tuple, pretrained_window: tuple, shifted: bool, dtype=torch.float64
) -> WindowAttention:
    module = WindowAttention(6, 2, window, pretrained_window, shifted=shifted)
    return randomized(module).to(dtype)
