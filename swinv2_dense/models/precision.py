"""Dtypes and sizes that computations are done in.

What stays in fp32: normalisation, logit scale, position bias, softmax.
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
    if x.is_meta:  # where shapes alone are computed; autocast does not know this device
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def matmul_dtype(x: Tensor) -> torch.dtype:
    """Dtype in which matrices are multiplied with `x`: autocast's, where it is on, or its own."""
    return (x.new_empty(1, 0) @ x.new_empty(0, 1)).dtype


def _for_product(x: Tensor) -> Tensor:
    """bf16 as fp32 on x86 CPUs before AVX-512, where torch multiplies bf16 ten times slower."""
    if x.dtype == torch.bfloat16 and x.device.type == 'cpu' and _WITHOUT_BF16:
        return x.float()
    return x


_WITHOUT_BF16 = torch.backends.cpu.get_cpu_capability() == 'AVX2'


def linear(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> Tensor:
    """`F.linear` of (T, C), written to `out` if given, on the units that the device has."""
    x, weight, bias, dtype = *map(_for_product, (x, weight, bias)), x.dtype
    if x.dtype == dtype:
        return torch.addmm(bias, x, weight.t(), out=out)
    product = torch.addmm(bias, x, weight.t())
    return product.to(dtype) if out is None else out.copy_(product)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b`, on the units that the device has."""
    return (_for_product(a) @ _for_product(b)).to(a.dtype)


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a b, matrices or batches of them; `total` may be of a wider dtype."""
    if total.dtype != a.dtype:
        total += matmul(a, b)
    elif a.dim() == 2:
        total.addmm_(a, b)
    else:
        total.baddbmm_(a, b)


def safe_norm(x: Tensor) -> Tensor:
    """Lengths of the vectors in the last axis, kept as an axis; 1 for zero vectors."""
    norm = x.norm(dim=-1, keepdim=True)
    return norm.where(norm > 1e-12, torch.ones_like(norm))


def safe_normalize(x: Tensor) -> Tensor:
    """Normalise the last axis in at least fp32; zero vectors (keys of padded tokens) stay zero.

    `F.normalize` divides a zero vector by 1e-12, which turns its gradient into inf in fp16.
    """
    x = at_least_fp32(x)
    return x / safe_norm(x)
