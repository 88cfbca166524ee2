"""Window attention of Swin Transformer V2 (arXiv 2111.09883) for maps with any number of axes.

`DotProductAttention` is that of V1 (arXiv 2103.14030), and `ATTENTIONS` the table of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention_backends import BACKENDS, check_backend, select_backend
from .low_rank import full_weight
from .position_bias import LogCPB, PositionBias
from .precision import at_least_fp32, matmul_dtype, without_autocast
from .similarity import SIMILARITIES
from .tiled_attention import TiledWindowAttention, compiled_attention, tiled_forward
from .tracing import is_compiling, static_sizes
from .windows import (
    apply_per_run,
    axis_layouts,
    crop_map,
    pad_map,
    window_partition,
    window_reverse,
)

Backend = Callable[[Tensor, Tensor, Tensor, Tensor, tuple[int, ...]], Tensor]

MAX_LOGIT_SCALE = math.log(1.0 / 0.01)


class WindowAttention(nn.Module):
    """Scaled cosine attention within (shifted) windows (eq. 2), for any number of axes.

    Args:
        embed_dims: Input and output channels.
        num_heads: Heads; divides `embed_dims`.
        window_size: Largest window in tokens, one per axis of the map.
        pretrained_window_size: Window in tokens, one per axis, that the weights were trained with.
        shifted: Shift the windows by half their size (SW-MSA).
        sequential: Project to q, k and v again in the backward pass instead of keeping them.
        backend: One of `choices.ATTENTION_BACKENDS`.
        position_bias: Class of the position bias.
        cosine_eps: Added to the norms of q and k; 0 leaves only zero vectors undivided.
    """

    similarity = 'cosine'  # a key of SIMILARITIES

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        window_size: tuple[int, ...],
        pretrained_window_size: tuple[int, ...],
        shifted: bool = False,
        sequential: bool = False,
        backend: str = 'auto',
        position_bias: type[PositionBias] = LogCPB,
        cosine_eps: float = 0.0,
    ) -> None:
        super().__init__()
        check_backend(backend, embed_dims // num_heads)
        self.num_heads = num_heads
        self.window_size = window_size
        self.shifted = shifted
        self.sequential = sequential
        self.backend = backend
        self.cosine_eps = cosine_eps
        self._bias_key = position_bias.key
        bias = cast(nn.Module, position_bias(num_heads, pretrained_window_size))
        self.add_module(self._bias_key, bias)
        self._add_projection(embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def _add_projection(self, embed_dims: int) -> None:
        self.logit_scale = nn.Parameter(torch.full((self.num_heads, 1, 1), math.log(10.0)))
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(embed_dims))
        self.v_bias = nn.Parameter(torch.zeros(embed_dims))

    @property
    def position_bias(self) -> PositionBias:
        """The module that returns the table of biases; its name within this one is its `key`."""
        return getattr(self, self._bias_key)

    def scale(self, x: Tensor) -> Tensor:
        """Factor (nH, 1, 1) of the products of queries and keys, at least fp32."""
        with without_autocast(x):
            return at_least_fp32(self.logit_scale).clamp(max=MAX_LOGIT_SCALE).exp()

    def qkv_bias(self) -> Tensor:
        """Bias (3C,) of the projection."""
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])

    def forward(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> (B, S..., C), S... of any size.

        Raises:
            TypeError: `qkv` was replaced by something that is not a linear layer.
        """
        if not isinstance(self.qkv, nn.Linear):
            raise TypeError(
                f'attn.qkv is a {type(self.qkv).__name__}; attention multiplies with its weight '
                'and would skip whatever else it does. Use LowRankLinear, or adapt attn.proj '
                'and the MLP instead'
            )
        sizes = static_sizes(x.shape[1:-1])
        windows = [min(size, window) for size, window in zip(sizes, self.window_size)]
        table = self.position_bias(windows)
        # A padded token is a key like any other: all that is projected of it is this bias.
        tensors = x, full_weight(self.qkv), self.qkv_bias(), self.scale(x), table
        needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        backend = select_backend(self.backend, x, needs_grad, table.requires_grad)
        if backend == 'tiled':
            return self.proj(self._tiled(*tensors))
        attend = self._triton if backend == 'triton' else partial(self._composed, BACKENDS[backend])
        if self.sequential and needs_grad:
            x = checkpoint(attend, *tensors, use_reentrant=False, preserve_rng_state=False)
        else:
            x = attend(*tensors)
        return self.proj(x)

    def _tiled(
        self, x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, table: Tensor
    ) -> Tensor:
        """Attention of the whole map at once."""
        dtype = matmul_dtype(x)
        tensors = x, weight.to(dtype), bias.to(dtype), scale, table
        settings = self.window_size, self.shifted, self.similarity, self.cosine_eps
        needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        if is_compiling():
            return compiled_attention(*tensors, *settings, needs_grad and not self.sequential)[0]
        if needs_grad:
            return TiledWindowAttention.apply(*tensors, *settings, self.sequential)
        return tiled_forward(*tensors, *settings, keep_qkv=False)[0]

    def _triton(
        self, x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, table: Tensor
    ) -> Tensor:
        """Attention of the whole map by Triton kernels."""
        from .triton_attention import triton_attention  # an optional package

        qkv = F.linear(x, weight, bias)
        pad = bias.to(qkv.dtype)
        with without_autocast(x):
            return triton_attention(
                qkv,
                pad,
                scale,
                table,
                self.window_size,
                self.shifted,
                self.similarity,
                self.cosine_eps,
            )

    def _composed(
        self,
        backend: Backend,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        scale: Tensor,
        table: Tensor,
    ) -> Tensor:
        """Attention composed of differentiable parts: project the map, then `backend` per run."""
        sizes = static_sizes(x.shape[1:-1])
        layouts = axis_layouts(sizes, self.window_size, self.shifted)
        vectors = SIMILARITIES[self.similarity](self.cosine_eps).vectors

        def attend(qkv: Tensor, window_size: tuple[int, ...]) -> Tensor:
            sizes = static_sizes(qkv.shape[1:-1])
            qkv = window_partition(qkv, window_size).unflatten(-1, (3, self.num_heads, -1))
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            with without_autocast(q):
                out = backend(vectors(q) * scale, vectors(k), v, table, window_size)
            return window_reverse(out.transpose(1, 2).flatten(2), window_size, sizes)

        qkv = F.linear(pad_map(x, layouts), weight, bias)
        return crop_map(apply_per_run(attend, qkv, layouts), sizes)

    def extra_repr(self) -> str:
        return (
            f'num_heads={self.num_heads}, window_size={self.window_size}, '
            f'pretrained_window_size={self.position_bias.pretrained_window_size}, '
            f'shifted={self.shifted}'
        )


class DotProductAttention(WindowAttention):
    """Attention of V1: q k^T / sqrt(D) with D channels per head, and a full bias of q, k and v."""

    similarity = 'dot'

    def _add_projection(self, embed_dims: int) -> None:
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims)

    def scale(self, x: Tensor) -> Tensor:
        """See `WindowAttention`."""
        weight = self.qkv.weight
        value = (weight.shape[1] // self.num_heads) ** -0.5
        dtype = torch.promote_types(weight.dtype, torch.float32)
        return weight.new_full((self.num_heads, 1, 1), value, dtype=dtype)

    def qkv_bias(self) -> Tensor:
        """See `WindowAttention`."""
        return self.qkv.bias


ATTENTIONS: dict[str, type[WindowAttention]] = {
    'cosine': WindowAttention,
    'dot': DotProductAttention,
}
