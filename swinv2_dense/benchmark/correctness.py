"""How far an attention backend is from plain attention in float64, and how far it may be."""

from __future__ import annotations

import contextlib
import math
from functools import lru_cache

import torch
from torch import Tensor

from ..models.window_attention import WindowAttention
from .worker import DTYPES

# Relative L2 distance of the output and of each gradient. On a CPU, all backends stay below two
# thirds of it at windows of 2 to 32, also with the position bias rounded as for kernels on CUDA.
BOUNDS = {'fp32': 1e-5, 'bf16': 0.08, 'fp16': 0.02}
CHANNELS, HEADS = 64, 2


def errors(backend: str, window: int, dtype: str, device: str, frozen: bool) -> dict[str, float]:
    """Distance of the output and each gradient from the reference, in units of its bound.

    The map is padded, and has whole and cut windows.

    Args:
        backend: One of `choices.ATTENTION_BACKENDS`.
        window: Tokens along both axes.
        dtype: 'fp32', or a key of `BOUNDS` by autocast.
        device: Where the backend runs. The reference is computed on the CPU.
        frozen: Whether the position bias has no gradient.

    Returns:
        Errors by 'out', 'x' and the names of parameters. Above 1 they are wrong.
    """
    module = _module(window, backend).to(device)
    module.position_bias.requires_grad_(not frozen)
    expected, weight = _reference(window)
    context: contextlib.AbstractContextManager = contextlib.nullcontext()
    if dtype != 'fp32':
        context = torch.autocast(device, DTYPES[dtype])
    with context, _without_tf32():
        x = _input(window).to(device)
        found = _results(module, x, weight.to(x))
    return {name: _distance(y, expected[name]) / BOUNDS[dtype] for name, y in found.items()}


def _distance(found: Tensor, expected: Tensor) -> float:
    """Relative L2 distance; infinite where one is not a number."""
    distance = ((found.cpu().double() - expected).norm() / expected.norm()).item()
    return distance if math.isfinite(distance) else math.inf


def _module(window: int, backend: str) -> WindowAttention:
    """Attention in shifted windows; every parameter is random and large enough to matter."""
    sizes = window, window
    module = WindowAttention(CHANNELS, HEADS, sizes, sizes, shifted=True, backend=backend)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
            if name == 'logit_scale':
                parameter += math.log(20)
    return module


def _input(window: int) -> Tensor:
    sizes = 2 * window - 1, window + window // 2 + 1
    return torch.randn(1, *sizes, CHANNELS, generator=torch.Generator().manual_seed(1))


def _results(module: WindowAttention, x: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Output, and the gradients of its product with `weight`."""
    inputs = {'x': x.requires_grad_()}
    inputs |= {n: p for n, p in module.named_parameters() if p.requires_grad}
    out = module(x)
    grads = torch.autograd.grad((out.to(x.dtype) * weight).sum(), list(inputs.values()))
    return {'out': out.detach(), **dict(zip(inputs, grads))}


@lru_cache(maxsize=1)
def _reference(window: int) -> tuple[dict[str, Tensor], Tensor]:
    """`_results` of plain attention, in float64 on the CPU, and their weight.

    The gradient of the logit scale is a sum over all tokens. With a random weight its terms cancel,
    and what remains is rounding. So half of the weight is the direction in which the output moves
    with the scale. It is divided by the window, because sums over tokens overflow in fp16.
    """
    module, x = _module(window, 'plain').double(), _input(window).double()
    with torch.no_grad():
        out = module(x)
        module.logit_scale += 1e-3
        along = module(x) - out
        module.logit_scale -= 1e-3
    noise = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    weight = (noise + along / along.square().mean().sqrt()) / window
    return _results(module, x, weight), weight


@contextlib.contextmanager
def _without_tf32():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
