"""Attention within windows: softmax(q k^T + bias) v, where the bias depends on the offset alone.

`plain` keeps N x N logits of every window and head and is what the others are held to: `sdpa`
(PyTorch's fused kernels, one tile of queries after the other) and `flex` (FlexAttention, which
reads the bias from the table itself). Legend: nW windows, nH heads, N tokens per window, D
channels per head; a table holds the bias of every offset, (nH, 2w-1, ...), that of offset q - k
at q - k + w - 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .bias_tiles import bias_lines, bias_tiles, crop_table, gather_bias
from .tile_sizes import FORWARD_TILE, tile_numel
from .tracing import is_compiling


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """softmax(q k^T + bias) v: three (nW, nH, N, D) and (nH, N, N) -> (nW, nH, N, D).

    Logits and softmax are computed in the dtype of q, k and bias; the result has that of v.
    """
    probs = (q @ k.transpose(-2, -1) + bias).softmax(dim=-1)
    return probs.to(v.dtype) @ v


def plain(q: Tensor, k: Tensor, v: Tensor, table: Tensor, window_size: Sequence[int]) -> Tensor:
    """As `attention`, with the table in place of the bias."""
    return attention(q, k, v, gather_bias(table, window_size))


def sdpa(q: Tensor, k: Tensor, v: Tensor, table: Tensor, window_size: Sequence[int]) -> Tensor:
    """As `plain`, by PyTorch's fused kernels, in the dtype of v.

    Raises:
        ValueError: The table needs a gradient; PyTorch would leave its fused kernels for one that
            keeps N x N.
    """
    if table.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            "attention_backend='sdpa' has no gradient of the position bias: freeze cpb_mlp, or "
            "take 'tiled' or 'auto'"
        )
    lines = as_attn_mask(bias_lines(table, window_size), v)
    return sdpa_lines(q.to(v.dtype), k.to(v.dtype), v, lines, window_size)


def sdpa_lines(
    q: Tensor, k: Tensor, v: Tensor, lines: Tensor, window_size: Sequence[int]
) -> Tensor:
    """As `sdpa`, with `bias_lines` of the table as `masks` returns them."""
    rows = tile_numel(FORWARD_TILE, q) // (q.shape[1] * q.shape[2])
    outs = [
        F.scaled_dot_product_attention(q[:, :, queries], k, v, attn_mask=bias[None], scale=1.0)
        for queries, bias in bias_tiles(lines, window_size, rows)
    ]
    return outs[0] if len(outs) == 1 else torch.cat(outs, dim=2)


def as_attn_mask(lines: Tensor, like: Tensor) -> Tensor:
    """`bias_lines` in a dtype that PyTorch's kernels take beside q, k and v like `like`.

    fp32 is taken by those for the CPU. Elsewhere the bias is rounded, less the largest of its head,
    which no probability sees: where it is near zero, and attention is drawn, it loses least.
    """
    if like.dtype == lines.dtype or (like.device.type == 'cpu' and TORCH >= (2, 5)):
        return lines
    return (lines - lines.amax(dim=list(range(1, lines.dim())), keepdim=True)).to(like.dtype)


TORCH = tuple(map(int, torch.__version__.split('.')[:2]))


def flex(q: Tensor, k: Tensor, v: Tensor, table: Tensor, window_size: Sequence[int]) -> Tensor:
    """As `plain`, by FlexAttention, in the dtype of v; logits, bias and softmax are fp32.

    On CUDA its kernels are compiled, once per size of windows. Elsewhere the uncompiled form
    runs, which keeps N x N and has no gradients: it is there to check the formula.

    Raises:
        ValueError: torch is older than 2.6, or a gradient is needed on another device than CUDA.
    """
    if TORCH < (2, 6):
        raise ValueError(
            f"attention_backend='flex' needs torch 2.6 or later (this is {torch.__version__})"
        )
    from torch.nn.attention.flex_attention import flex_attention

    if q.device.type != 'cuda' and torch.is_grad_enabled() and q.requires_grad:
        raise ValueError(
            f"attention_backend='flex' trains on CUDA only (this is {q.device.type}): take 'auto'"
        )
    # Row-major positions in the table: an offset's entry is position(q) - position(k) + centre.
    sizes = [2 * size - 1 for size in window_size]
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    axes = [torch.arange(s, device=q.device) * t for s, t in zip(window_size, strides)]
    position = sum(torch.meshgrid(*axes, indexing='ij')).flatten()
    centre = sum((size - 1) * stride for size, stride in zip(window_size, strides))
    entries = crop_table(table, window_size).flatten(1)

    def add_bias(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + entries[head, position[query] - position[key] + centre]

    compiles = q.device.type == 'cuda' and not is_compiling()
    run = _compiled(flex_attention) if compiles else flex_attention
    return run(q.to(v.dtype), k.to(v.dtype), v, score_mod=add_bias, scale=1.0)


_compiled = functools.cache(torch.compile)

BACKENDS = {'plain': plain, 'sdpa': sdpa, 'flex': flex}


def select_backend(backend: str, x: Tensor, needs_grad: bool, table_needs_grad: bool) -> str:
    """What computes a map where `backend` is asked for.

    'auto' is 'tiled' (see tiled.py), but on CUDA with a frozen position bias 'sdpa', whose backward
    pass is faster. 'flex' is never chosen: it compiles for each size of windows, and multi-scale
    training meets more of them than torch compiles by default (8). Where only shapes are computed
    or a graph is traced or exported, 'tiled' is 'plain', which has nothing but common operators.
    """
    if backend not in ('auto', 'tiled'):
        return backend
    if x.is_meta or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() or _is_exporting():
        return 'plain'
    if is_compiling() and not hasattr(torch.library, 'custom_op'):  # torch < 2.4
        return 'plain'
    frozen_bias = needs_grad and not table_needs_grad
    return 'sdpa' if backend == 'auto' and x.device.type == 'cuda' and frozen_bias else 'tiled'


_is_exporting = getattr(torch.compiler, 'is_exporting', lambda: False)  # torch >= 2.7
