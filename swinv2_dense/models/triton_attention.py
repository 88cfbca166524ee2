"""Window attention of a whole map by the kernels of triton_kernels.py, as differentiable operators.

Kept between the passes are the projected map, the output and one number per token and head. The
forward pass reads 3C channels per token and writes C; nothing of the size N x N per window reaches
memory in either pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.library import triton_op, wrap_triton
from triton import language as tl

from .attention_backends import interpreted
from .bias_tiles import crop_table
from .triton_kernels import forward_kernel, key_kernel, query_kernel, table_kernel
from .triton_tiles import PROGRAMS, TILES, Tiles
from .windows import axis_layouts

PRODUCTS = {
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
    torch.float32: tl.float32,
}
LOG2E = 1 / math.log(2)


class Geometry(NamedTuple):
    """The windows of a map as the kernels see them, always with three axes."""

    sizes: tuple[int, ...]
    window: tuple[int, ...]
    lead: tuple[int, ...]  # tokens that the first window lacks
    num_windows: int  # per sample

    @classmethod
    def of(cls, sizes: Sequence[int], window_size: Sequence[int], shifted: bool) -> Geometry:
        """The windows of `axis_layouts`, without those that lie in the padding alone.

        Raises:
            ValueError: Windows too large for the arithmetic of triton_windows.py.
        """
        window, lead, count = [], [], 1
        for size, layout in zip(sizes, axis_layouts(sizes, window_size, shifted)):
            window.append(max(run.window for run in layout.runs))
            lead.append(window[-1] - layout.runs[0].window)
            count *= math.ceil((size + lead[-1]) / window[-1])
        if math.prod(window) * math.prod(window[-2:]) >= 2**31:
            raise ValueError(
                f"attention_backend='triton' does not take windows as large as {tuple(window)}; "
                "use 'tiled'"
            )
        missing = 3 - len(sizes)
        one, zero = (1,) * missing, (0,) * missing
        return cls((*one, *sizes), (*one, *window), (*zero, *lead), count)

    def tiles(self, tile: int) -> int:
        """Number of tiles of tokens in a window."""
        return math.ceil(math.prod(self.window) / tile)

    def numbers(self, heads: int) -> tuple[int, ...]:
        """The arguments `GEOMETRY` of the kernels."""
        return *self.sizes, *self.window, *self.lead, heads


def triton_attention(
    qkv: Tensor,
    pad: Tensor,
    scale: Tensor,
    table: Tensor,
    window_size: Sequence[int],
    shifted: bool,
    similarity: str = 'cosine',
    eps: float = 0.0,
) -> Tensor:
    """Attention within the windows of a projected map.

    Args:
        qkv: Map (B, S..., 3C) of q, k and v, with one to three axes.
        pad: q, k and v (3C,) of a padded token: the bias of the projection.
        scale: Factor (nH, 1, 1) of the cosines or dot products, fp32.
        table: Position bias (nH, 2w-1, ...), fp32.
        window_size, shifted: As in `axis_layout`.
        similarity, eps: A key of `SIMILARITIES`, and its argument.

    Returns:
        Map (B, S..., C) in the dtype of `qkv`.
    """
    window = [min(size, window) for size, window in zip(qkv.shape[1:-1], window_size)]
    entries = crop_table(table, window).flatten(1).flip(1) * LOG2E
    args = qkv.contiguous(), pad.contiguous(), scale.flatten() * LOG2E, entries.contiguous()
    return _attention(*args, list(window_size), shifted, similarity, eps)[0]


@triton_op('swinv2_dense::triton_attention', mutates_args=())
def _attention(
    qkv: Tensor,
    pad: Tensor,
    scale: Tensor,
    entries: Tensor,
    window_size: Sequence[int],
    shifted: bool,
    similarity: str,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """The mixed map (B, S..., C), and the log-sum-exp (B, S..., nH) of the logits.

    `scale` and `entries` are those of logits in base 2.
    """
    geometry, heads = Geometry.of(qkv.shape[1:-1], window_size, shifted), len(scale)
    out = qkv.new_empty(*qkv.shape[:-1], qkv.shape[-1] // 3)
    lse = scale.new_empty(*qkv.shape[:-1], heads)
    tiles = TILES[qkv.dtype]['forward']
    programs = len(qkv) * geometry.num_windows * geometry.tiles(tiles.queries)
    settings = _settings(qkv, heads, similarity, eps, tiles)
    wrap_triton(forward_kernel)[(programs, heads)](
        qkv, pad, scale, entries, out, lse, *geometry.numbers(heads), **settings
    )
    return out, lse


@triton_op('swinv2_dense::triton_attention_backward', mutates_args=())
def _attention_backward(
    qkv: Tensor,
    pad: Tensor,
    scale: Tensor,
    entries: Tensor,
    out: Tensor,
    lse: Tensor,
    grad: Tensor,
    window_size: Sequence[int],
    shifted: bool,
    similarity: str,
    eps: float,
    needs_entries: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of qkv, pad, scale and entries."""
    geometry, heads = Geometry.of(qkv.shape[1:-1], window_size, shifted), len(scale)
    numbers, tiles = geometry.numbers(heads), TILES[qkv.dtype]
    settings = partial(_settings, qkv, heads, similarity, eps)
    windows = len(qkv) * geometry.num_windows
    qkv_grad, delta = torch.empty_like(qkv), torch.empty_like(lse)
    programs = windows * geometry.tiles(tiles['query'].queries)
    scale_parts = scale.new_zeros(programs, heads)
    wrap_triton(query_kernel)[(programs, heads)](
        qkv, pad, scale, entries, out, lse, grad, delta, qkv_grad, scale_parts,
        *numbers, **settings(tiles['query']),
    )  # fmt: skip
    pad_grad, entries_grad = torch.zeros_like(pad, dtype=scale.dtype), torch.zeros_like(entries)
    programs = windows * geometry.tiles(tiles['key'].keys)
    wrap_triton(key_kernel)[(programs, heads)](
        qkv, pad, scale, entries, lse, grad, delta, qkv_grad, pad_grad,
        *numbers, **settings(tiles['key']),
    )  # fmt: skip
    if needs_entries:
        pairs = geometry.tiles(tiles['table'].queries) * geometry.tiles(tiles['table'].keys)
        each = math.ceil(windows / max(1, PROGRAMS // (pairs * heads)))
        wrap_triton(table_kernel)[(pairs, math.ceil(windows / each), heads)](
            qkv, pad, scale, entries, lse, grad, delta, entries_grad, windows, each,
            *numbers, **settings(tiles['table']),
        )  # fmt: skip
    return qkv_grad, pad_grad.to(pad.dtype), scale_parts.sum(0), entries_grad


def _settings(qkv: Tensor, heads: int, similarity: str, eps: float, tiles: Tiles) -> dict[str, Any]:
    """Compile-time values and launch options of a kernel."""
    tf32 = qkv.dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32
    return dict(
        HEAD=qkv.shape[-1] // 3 // heads,
        TILE_Q=tiles.queries,
        TILE_K=tiles.keys,
        PRODUCT=tl.float32 if interpreted() else PRODUCTS[qkv.dtype],
        PRECISION='tf32' if tf32 else 'ieee',
        COSINE=similarity == 'cosine',
        EPS=eps,
        num_warps=tiles.warps,
        num_stages=1,
    )


def _setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    qkv, pad, scale, entries, *settings = inputs
    ctx.save_for_backward(qkv, pad, scale, entries, *output)
    ctx.mark_non_differentiable(output[1])
    ctx.settings = settings


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple:
    saved, needs_entries = ctx.saved_tensors, ctx.needs_input_grad[3]
    grads = _attention_backward(*saved, grad.contiguous(), *ctx.settings, needs_entries)
    return *grads, None, None, None, None


def _no_second_derivative(ctx: Any, *_: Any) -> None:
    raise RuntimeError(
        "attention_backend='triton' has no second derivatives; use attention_backend='plain', "
        'which keeps N x N logits'
    )


_attention.register_autograd(_backward, setup_context=_setup_context)
_attention_backward.register_autograd(_no_second_derivative)
