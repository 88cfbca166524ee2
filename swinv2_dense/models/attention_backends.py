"""Attention within windows: softmax(q k^T + bias) v, where the bias depends on the offset alone.

`plain` keeps the N x N logits of every window and head, and is the reference for `sdpa`: PyTorch's
fused kernels, one tile of queries after the other. Backends that take a whole map have files of
their own: tiled_attention.py and triton_attention.py. Legend: nW windows, nH heads, N tokens per
window, D channels per head. A table (nH, 2w-1, ...) holds the bias of every offset, that of q - k
at index q - k + w - 1.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from .bias_tiles import bias_lines, bias_tiles, gather_bias, unfold_bias, whole_bias
from .fused_attention import HEAD_ALIGNMENT, fused_attention
from .tile_sizes import FORWARD_TILE, tile_numel
from .tracing import is_exporting
from .triton_tiles import TRITON_HEADS


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
    whole = whole_bias(lines, window_size)
    return sdpa_lines(q.to(v.dtype), k.to(v.dtype), v, lines, window_size, whole)


def sdpa_lines(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lines: Tensor,
    window_size: Sequence[int],
    whole: Tensor | None = None,
) -> Tensor:
    """`sdpa`, given the `bias_lines` of the table as `as_attn_mask` returns them.

    `whole` is their `whole_bias`, if there is one.
    """
    if whole is not None:
        return fused_attention(q, k, v, attn_mask=whole[None], scale=1.0)
    rows = tile_numel(FORWARD_TILE, q) // (q.shape[1] * q.shape[2])
    outs = [
        fused_attention(q[:, :, queries], k, v, attn_mask=bias[None], scale=1.0)
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


BACKENDS = {'plain': plain, 'sdpa': sdpa}


def check_backend(backend: str, head_dims: int) -> None:
    """Raise where a backend cannot serve a model, before it is built; warn where it is slow.

    Args:
        backend: One of `choices.ATTENTION_BACKENDS`.
        head_dims: Channels per head.

    Raises:
        ValueError: 'triton' with another number of channels per head.
        ImportError: 'triton' without the package.
    """
    runs_sdpa = backend == 'sdpa' or backend != 'plain' and torch.cuda.is_available()
    if runs_sdpa and head_dims % HEAD_ALIGNMENT:
        warnings.warn(
            f"attention_backend={backend!r} with {head_dims} channels per head: PyTorch's fused "
            'kernels on CUDA take multiples of 8 in half precision, and others write N x N logits; '
            'change num_heads or embed_dims',
            stacklevel=2,
        )
    if backend != 'triton':
        return
    if head_dims not in TRITON_HEADS:
        raise ValueError(
            f"attention_backend='triton' supports {TRITON_HEADS} channels per head, not "
            f"{head_dims}; use 'auto', or change num_heads or embed_dims"
        )
    if importlib.util.find_spec('triton') is None:
        raise ImportError(
            "attention_backend='triton' needs the package triton: install it by "
            "`pip install swinv2_dense[triton]`, or use 'auto'"
        )


def select_backend(backend: str, x: Tensor, needs_grad: bool, table_needs_grad: bool) -> str:
    """The backend that computes a map where `backend` is asked for.

    'auto' is 'tiled' (see tiled_attention.py), except on CUDA with a frozen position bias: there
    it is 'sdpa', whose backward pass is faster. It is never 'triton', which has not been measured
    on a GPU yet. Where only shapes are computed, or a graph is traced or exported, 'tiled' and
    'triton' become 'plain', which consists of common operators. 'triton' adds in no fixed order;
    with deterministic algorithms it becomes 'tiled'.

    Raises:
        ValueError: 'triton' for a tensor that its kernels do not take.
    """
    if backend not in ('auto', 'tiled', 'triton'):
        return backend
    if x.is_meta or torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() or is_exporting():
        return 'plain'
    if backend == 'triton':
        return _triton_or_tiled(x)
    frozen_bias = needs_grad and not table_needs_grad
    return 'sdpa' if backend == 'auto' and x.device.type == 'cuda' and frozen_bias else 'tiled'


def interpreted() -> bool:
    """Whether Triton runs kernels as Python, on tensors of any device."""
    return os.environ.get('TRITON_INTERPRET', '').lower() in ('1', 'true', 'on', 'yes', 'y')


def _triton_or_tiled(x: Tensor) -> str:
    if torch.are_deterministic_algorithms_enabled():
        warnings.warn(
            "attention_backend='triton' is not deterministic; 'tiled' is used instead", stacklevel=2
        )
        return 'tiled'
    if x.device.type != 'cuda' and not interpreted():
        raise ValueError(
            f"attention_backend='triton' runs on CUDA, not on {x.device.type}; use 'auto' or "
            "'tiled', or set TRITON_INTERPRET=1 to run its kernels slowly in Python"
        )
    if x.dtype == torch.float64:
        raise ValueError(
            "attention_backend='triton' takes float32, bfloat16 and float16, not float64; use "
            "'tiled' or 'plain'"
        )
    return 'triton'
