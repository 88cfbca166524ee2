"""Window attention of Swin Transformer V2 (arXiv 2111.09883) for maps with any number of axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention_backends import BACKENDS, select_backend
from .position_bias import LogCPB
from .precision import at_least_fp32, matmul_dtype, safe_normalize, without_autocast
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
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        window_size: tuple[int, ...],
        pretrained_window_size: tuple[int, ...],
        shifted: bool = False,
        sequential: bool = False,
        backend: str = 'auto',
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.shifted = shifted
        self.sequential = sequential
        self.backend = backend
        self.logit_scale = nn.Parameter(torch.full((num_heads, 1, 1), math.log(10.0)))
        self.cpb_mlp = LogCPB(num_heads, pretrained_window_size)
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(embed_dims))
        self.v_bias = nn.Parameter(torch.zeros(embed_dims))
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> (B, S..., C), S... of any size.

        Raises:
            TypeError: `qkv` was replaced by something that is not a linear layer.
        """
        if not isinstance(self.qkv, nn.Linear):
            raise TypeError(
                f'attn.qkv is a {type(self.qkv).__name__}; attention multiplies with its weight '
                'and would skip whatever else it does. Parametrize the weight, or adapt attn.proj '
                'and the MLP instead'
            )
        sizes = static_sizes(x.shape[1:-1])
        windows = [min(size, window) for size, window in zip(sizes, self.window_size)]
        table = self.cpb_mlp(windows)
        with without_autocast(x):
            scale = at_least_fp32(self.logit_scale).clamp(max=MAX_LOGIT_SCALE).exp()
        # A padded token is a key like any other: its cosine is 0 and its value is the bias of v.
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        tensors = x, self.qkv.weight, bias, scale, table
        needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        backend = select_backend(self.backend, x, needs_grad, table.requires_grad)
        if backend == 'tiled':
            x = self._tiled(*tensors)
        elif self.sequential and needs_grad:
            fn = partial(self._composed, BACKENDS[backend])
            x = checkpoint(fn, *tensors, use_reentrant=False, preserve_rng_state=False)
        else:
            x = self._composed(BACKENDS[backend], *tensors)
        return self.proj(x)

    def _tiled(
        self, x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, table: Tensor
    ) -> Tensor:
        """Attention of the whole map at once."""
        dtype = matmul_dtype(x)
        tensors = x, weight.to(dtype), bias.to(dtype), scale, table
        geometry = self.window_size, self.shifted
        needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        if is_compiling():
            return compiled_attention(*tensors, *geometry, needs_grad and not self.sequential)[0]
        if needs_grad:
            return TiledWindowAttention.apply(*tensors, *geometry, self.sequential)
        return tiled_forward(*tensors, *geometry, keep_qkv=False)[0]

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

        def attend(qkv: Tensor, window_size: tuple[int, ...]) -> Tensor:
            sizes = static_sizes(qkv.shape[1:-1])
            qkv = window_partition(qkv, window_size).unflatten(-1, (3, self.num_heads, -1))
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            with without_autocast(q):
                out = backend(safe_normalize(q) * scale, safe_normalize(k), v, table, window_size)
            return window_reverse(out.transpose(1, 2).flatten(2), window_size, sizes)

        qkv = F.linear(pad_map(x, layouts), weight, bias)
        return crop_map(apply_per_run(attend, qkv, layouts), sizes)

    def extra_repr(self) -> str:
        return (
            f'num_heads={self.num_heads}, window_size={self.window_size}, '
            f'pretrained_window_size={self.cpb_mlp.pretrained_window_size}, shifted={self.shifted}'
        )
