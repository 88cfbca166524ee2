"""Attention within windows: softmax(q k^T + bias) v, where the bias depends on the offset alone.

`plain` keeps the N x N logits of every window and head, and is the reference for the others: `sdpa`
(PyTorch's fused kernels, one tile of queries after the other) and `flex` (FlexAttention, which
reads the bias from the table itself). Legend: nW windows, nH heads, N tokens per window, D
channels per head. A table (nH, 2w-1, ...) holds the bias of every offset, that of q - k at index
q - k + w - 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from .bias_tiles import bias_lines, bias_tiles, crop_table, gather_bias, unfold_bias
from .tile_sizes import FORWARD_TILE, tile_numel
from .tracing import is_compiling, is_exporting


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """softmax(q k^T + bias) v: three (nW, nH, N, D) and (nH, N, N) -> (nW, nH, N, D).

    Logits and softmax are computed in the dtype of q, k and bias; the result has that of v.
    """
    probs = (q @ k.transpose(-2, -1) + bias).softmax(dim=-1)
    return probs.to(v.dtype) @ v


def plain(q: Tensor, k: Tensor, v: Tensor, table: Tensor, window_size: Sequence[int]) -> Tensor:
    """`attention`, given the table instead of the bias."""
    bias = (unfold_bias if is_exporting() else gather_bias)(table, window_size)
    return attention(q, k, v, bias)


def sdpa(q: Tensor, k: Tensor, v: Tensor, table: Tensor, window_size: Sequence[int]) -> Tensor:
    """`plain` with PyTorch's fused kernels, in the dtype of v.

    Raises:
        ValueError: The table needs a gradient, for which PyTorch falls back to a kernel that
            keeps N x N.
    """
    if table.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            "attention_backend='sdpa' has no gradient of the position bias: freeze cpb_mlp, or "
            "use 'tiled' or 'auto'"
        )
    lines = as_attn_mask(bias_lines(table, window_size), v)
    return sdpa_lines(q.to(v.dtype), k.to(v.dtype), v, lines, window_size)


def sdpa_lines(
    q: Tensor, k: Tensor, v: Tensor, lines: Tensor, window_size: Sequence[int]
) -> Tensor:
    """`sdpa`, given the `bias_lines` of the table as `as_attn_mask` returns them."""
    rows = tile_numel(FORWARD_TILE, q) // (q.shape[1] * q.shape[2])
    outs = [
        F.scaled_dot_product_attention(q[:, :, queries], k, v, attn_mask=bias[None], scale=1.0)
        for queries, bias in bias_tiles(lines, window_size, rows)
    ]
    return outs[0] if len(outs) == 1 else torch.cat(outs, dim=2)


def as_attn_mask(lines: Tensor, like: Tensor) -> Tensor:
    """`bias_lines` in a dtype that PyTorch's kernels accept for q, k and v like `like`.

    CPU kernels accept fp32. Others need the dtype of q, k and v. Softmax ignores a constant per
    head, so the largest bias of each head is subtracted before rounding: what remains is close to
    zero, where rounding is finest, for exactly the keys that get most of the attention.
    """
    if like.dtype == lines.dtype or like.device.type == 'cpu':
        return lines
    return (lines - lines.amax(dim=list(range(1, lines.dim())), keepdim=True)).to(like.dtype)


def flex(q: Tensor, k: Tensor, v: Tensor, table: Tensor, window_size: Sequence[int]) -> Tensor:
    """`plain` with FlexAttention, in the dtype of v; logits, bias and softmax are fp32.

    On CUDA its kernels are compiled, once per window size. Other devices run the uncompiled form,
    which keeps N x N and has no gradients: it is there to check the formula.

    Raises:
        ValueError: A gradient is needed on a device other than CUDA.
    """
    if q.device.type != 'cuda' and torch.is_grad_enabled() and q.requires_grad:
        raise ValueError(
            f"attention_backend='flex' trains on CUDA only (this is {q.device.type}): use 'auto'"
        )
    # Row-major positions in the table: an offset's entry is position(q) - position(k) + center.
    sizes = [2 * size - 1 for size in window_size]
    strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    axes = [torch.arange(s, device=q.device) * t for s, t in zip(window_size, strides)]
    position = torch.stack(torch.meshgrid(*axes, indexing='ij')).sum(0).flatten()
    center = sum((size - 1) * stride for size, stride in zip(window_size, strides))
    entries = crop_table(table, window_size).flatten(1)

    def add_bias(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + entries[head, position[query] - position[key] + center]

    compiles = q.device.type == 'cuda' and not is_compiling()
    run = _compiled_flex() if compiles else flex_attention
    return run(q.to(v.dtype), k.to(v.dtype), v, score_mod=add_bias, scale=1.0)


@functools.cache
def _compiled_flex():
    return torch.compile(flex_attention)


BACKENDS = {'plain': plain, 'sdpa': sdpa, 'flex': flex}


def select_backend(backend: str, x: Tensor, needs_grad: bool, table_needs_grad: bool) -> str:
    """The backend that computes a map where `backend` is asked for.

    'auto' is 'tiled' (see tiled_attention.py), except on CUDA with a frozen position bias: there
    it is 'sdpa', whose backward pass is faster. It is never 'flex', which compiles once per window
    size; multi-scale training has more of them than torch compiles by default (8). Where only
    shapes are computed, or a graph is traced or exported, 'tiled' becomes 'plain', which consists
    of common operators.
    """
    if backend not in ('auto', 'tiled'):
        return backend
    if x.is_meta or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() or is_exporting():
        return 'plain'
    frozen_bias = needs_grad and not table_needs_grad
    return 'sdpa' if backend == 'auto' and x.device.type == 'cuda' and frozen_bias else 'tiled'
