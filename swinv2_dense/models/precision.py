"""Which dtype computations run in.

Always at least fp32: normalization, logit scale, position bias and softmax.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def at_least_fp32(x: Tensor) -> Tensor:
    """bf16 and fp16 become fp32; fp32 and fp64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Context in which operations on tensors like `x` keep their dtype."""
    # Autocast does not know the meta device. Where it is off, nothing is to be disabled: graphs
    # that are exported or compiled would get a subgraph per context.
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def matmul_dtype(x: Tensor) -> torch.dtype:
    """Dtype of matrix products with `x`: that of autocast where it is on, else that of `x`."""
    return (x.new_empty(1, 0) @ x.new_empty(0, 1)).dtype


def bf16_is_slow(capability: str, has_tiles: bool) -> bool:
    """Whether this CPU multiplies bf16 slower than fp32.

    Without AVX-512, torch is ten times slower in bf16. With it, only AMX tiles make bf16 faster:
    AVX-512's own bf16 products reach about half of the speed of fp32.

    Args:
        capability: As `torch.backends.cpu.get_cpu_capability` returns it.
        has_tiles: Whether the CPU has AMX tiles.
    """
    return capability == 'AVX2' or (capability.startswith('AVX512') and not has_tiles)


# Decided by what the CPU has rather than by a measurement, so that all runs compute the same.
_SLOW_BF16 = bf16_is_slow(
    torch.backends.cpu.get_cpu_capability(),
    getattr(torch.cpu, '_is_amx_tile_supported', lambda: False)(),
)


def _for_product(x: Tensor) -> Tensor:
    """bf16 as fp32 where that is faster."""
    if x.dtype == torch.bfloat16 and x.device.type == 'cpu' and _SLOW_BF16:
        return x.float()
    return x


def linear(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> Tensor:
    """`F.linear` of (T, C), written to `out` if given, in the dtype that is fast."""
    x, weight, bias, dtype = *map(_for_product, (x, weight, bias)), x.dtype
    if x.dtype == dtype:
        return torch.addmm(bias, x, weight.t(), out=out)
    product = torch.addmm(bias, x, weight.t())
    return product.to(dtype) if out is None else out.copy_(product)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b`, in the dtype that is fast."""
    return (_for_product(a) @ _for_product(b)).to(a.dtype)


def add_product(total: Tensor, a: Tensor, b: Tensor, first: bool = False) -> None:
    """total += a @ b, for matrices or batches of them; `total` may have a wider dtype.

    The `first` product of a sum is written to `total`, whatever that holds.
    """
    a, b, keep = _for_product(a), _for_product(b), 0.0 if first else 1.0
    if total.dtype != a.dtype:
        product = a @ b
        total.copy_(product) if first else total.add_(product)
    elif a.dim() == 2:
        total.addmm_(a, b, beta=keep)
    else:
        total.baddbmm_(a, b, beta=keep)


def safe_norm(x: Tensor, eps: float = 0.0) -> Tensor:
    """Norms of the vectors along the last axis, with that axis kept; 1 for zero vectors.

    With `eps`, it is added to every norm instead.
    """
    norm = x.norm(dim=-1, keepdim=True)
    if eps:
        return norm + eps
    return norm.where(norm > 1e-12, torch.ones_like(norm))


def safe_normalize(x: Tensor, eps: float = 0.0) -> Tensor:
    """Divide the last axis by `safe_norm` in at least fp32; zero vectors stay zero.

    Keys of padded tokens are zero vectors. `F.normalize` divides a zero vector by 1e-12, which
    turns its gradient into inf in fp16.
    """
    x = at_least_fp32(x)
    return x / safe_norm(x, eps)
