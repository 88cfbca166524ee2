"""Window attention of a whole map: one group of windows after the other, in tiles of queries.

Memory grows with the tokens of the map and hardly with the window size: neither pass builds or
keeps logits or bias of N x N per window and head. Legend: B batch, S... spatial axes, C channels,
N tokens per window, nW windows of a group, nH heads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .attention_backends import as_attn_mask, sdpa_lines
from .bias_tiles import BiasTiles, bias_lines, whole_bias
from .precision import add_product, linear, matmul, without_autocast
from .scratch import Scratch
from .similarity import SIMILARITIES, DotProduct
from .tile_sizes import BACKWARD_TILE, GROUP, tile_numel
from .windows import Group, axis_layouts, crop_map, groups, pad_map


class TiledWindowAttention(torch.autograd.Function):
    """Projection to q, k and v, and attention in the windows of a map, group by group.

    The forward pass runs `sdpa_lines` per group. The backward pass recomputes logits tile by tile
    and sums the gradient of the table over tiles. Kept in between are the inputs and, unless
    `sequential`, the projected q, k and v.

    Args of `apply`:
        x: Map (B, S..., C) in any dtype.
        weight, bias: Of the projection, (3C, C) and (3C,), in the dtype of the products.
        scale: Factor (nH, 1, 1) of cosines or dot products, at least fp32.
        table: Position bias (nH, 2w-1, ...), at least fp32.
        window_size, shifted: As in `axis_layout`.
        similarity, eps: A key of `SIMILARITIES`, and its argument.
        sequential: Project again in the backward pass instead of keeping q, k and v.

    Returns:
        Map (B, S..., C) in the dtype of `weight`, before the output projection.
    """

    @staticmethod
    def forward(
        ctx, x, weight, bias, scale, table, window_size, shifted, similarity, eps, sequential
    ):
        tensors = x, weight, bias, scale, table
        ctx.settings = window_size, shifted, similarity, eps
        out, qkv = tiled_forward(*tensors, window_size, shifted, similarity, eps, not sequential)
        ctx.save_for_backward(x, qkv, weight, bias, scale, table)
        return out

    @staticmethod
    def backward(ctx, grad):
        saved = ctx.saved_tensors  # under activation checkpointing they can be read once
        with torch.no_grad():
            grads = tiled_backward(grad, *saved, *ctx.settings)
        if torch.is_grad_enabled():  # create_graph=True
            grads = FirstDerivative.apply(*grads, grad, *saved)
        return *grads, None, None, None, None, None


class FirstDerivative(torch.autograd.Function):
    """Returns the five gradients of attention, and raises where they are differentiated.

    `once_differentiable` raises only if the incoming gradient has a graph. The gradient of a sum
    has none, but the gradients of attention depend on the inputs all the same: they would be
    treated as constants, and second derivatives would be silently wrong. That is why the inputs
    are arguments here.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, scale, table, *_):
        return x, weight, bias, scale, table

    @staticmethod
    def backward(ctx, *_):
        raise RuntimeError(NO_SECOND_DERIVATIVE)


NO_SECOND_DERIVATIVE = (
    "attention_backend='tiled' has no second derivatives; use attention_backend='plain', which "
    'keeps N x N logits'
)


def tiled_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor,
    table: Tensor,
    window_size: Sequence[int],
    shifted: bool,
    similarity: str,
    eps: float,
    keep_qkv: bool,
) -> tuple[Tensor, Tensor]:
    """Output map, and q, k, v of all tokens in the order of groups (empty unless `keep_qkv`)."""
    sizes, vectors = x.shape[1:-1], SIMILARITIES[similarity](eps).vectors
    x, plan = _plan(x, weight, table, window_size, shifted)
    out = x.new_empty(x.shape, dtype=weight.dtype)
    kept = out.new_empty((out[..., 0].numel() if keep_qkv else 0, weight.shape[0]))
    start = 0
    with without_autocast(x):
        for window, lines, groups_of_window in plan:
            whole = whole_bias(lines, window)
            for group in groups_of_window:
                tokens = group.read(x).to(weight.dtype)
                stop = start + tokens[..., 0].numel()
                place = kept[start:stop] if keep_qkv else None
                qkv = linear(tokens.flatten(0, 1), weight, bias, place)
                start = stop
                heads = qkv.unflatten(-1, (3, scale.shape[0], -1))
                q, k, v = heads.unflatten(0, tokens.shape[:2]).unbind(2)
                q, k, v = (y.transpose(1, 2) for y in (vectors(q), vectors(k), v))
                mixed = sdpa_lines((q * scale).to(v.dtype), k.to(v.dtype), v, lines, window, whole)
                group.write(mixed.transpose(1, 2).flatten(2), out)
    return crop_map(out, sizes), kept


def tiled_backward(
    grad: Tensor,
    x: Tensor,
    kept: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor,
    table: Tensor,
    window_size: Sequence[int],
    shifted: bool,
    similarity: str,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weight, bias, scale and table."""
    sizes, kind = x.shape[1:-1], SIMILARITIES[similarity](eps)
    x, plan = _plan(x, weight, table, window_size, shifted)
    grad = pad_map(grad, axis_layouts(sizes, window_size, shifted))
    x_grad, weight_grad = torch.empty_like(x), torch.empty_like(weight, dtype=scale.dtype)
    bias_grad = torch.zeros_like(bias, dtype=scale.dtype)
    scale_grad, table_grad = torch.zeros_like(scale), torch.zeros_like(table)
    start, scratch = 0, Scratch(scale)
    with without_autocast(x):
        for window, lines, groups_of_window in plan:
            tiles = BiasTiles(lines.to(table.dtype), window, tile_numel(BACKWARD_TILE, x))
            for group in groups_of_window:
                tokens = group.read(x).to(weight.dtype)
                rows = tokens.flatten(0, 1)
                stop = start + len(rows)
                qkv = kept[start:stop] if len(kept) else linear(rows, weight, bias)
                qkv = qkv.unflatten(0, tokens.shape[:2])
                qkv_grad = _group_backward(
                    group.read(grad), qkv, scale, tiles, scratch, kind, scale_grad
                ).flatten(0, 1)
                group.write(matmul(qkv_grad, weight).view(tokens.shape), x_grad)
                add_product(weight_grad, qkv_grad.t(), rows, first=start == 0)
                bias_grad += qkv_grad.sum(0, dtype=scale.dtype)
                start = stop
            tiles.add_to_table(table_grad)
    grads = weight_grad.to(weight.dtype), bias_grad.to(bias.dtype)
    return crop_map(x_grad, sizes), *grads, scale_grad, table_grad


# For one window and head, with rows of q, k and v as vectors, and q' and k' the normalized q and k
# (or q and k themselves, for dot products):
#
#   L = s q' k'^T + B,  P = softmax(L),  O = P v
#
# Given dO, with * elementwise and sums over keys:
#
#   dv      = P^T dO
#   dP      = dO v^T
#   dL      = P * (dP - sum(dP * P))          softmax
#   dB      = sum of dL over windows          then over token pairs of equal offset: `add_lines`
#   d(s q') = dL k'                           so ds = sum(d(s q') * q') and dq' = s d(s q')
#   dk'     = dL^T (s q')
#
# `to_inputs` of similarity.py goes on to dq and dk.
#
# Rows of P depend on one query each. So a tile of queries is complete in itself: its P is computed
# again from q, k and B, used, and dropped. dv and dk' are sums over tiles, dq' is written by tile.


def _group_backward(
    grad: Tensor,
    qkv: Tensor,
    scale: Tensor,
    tiles: BiasTiles,
    scratch: Scratch,
    kind: DotProduct,
    scale_grad: Tensor,
) -> Tensor:
    """Gradient (nW, N, 3C) of qkv; adds to the gradients of the scale and of the bias.

    Logits are fp32 products of the same rounded factors as in the forward pass, so that both
    passes see the same probabilities.
    """
    num_heads, dtype, exact = scale.shape[0], qkv.dtype, scale.dtype

    def heads_first(y: Tensor) -> Tensor:
        return y.unflatten(-1, (num_heads, -1)).transpose(1, 2).contiguous()

    q, k, v = (heads_first(y) for y in qkv.chunk(3, dim=-1))
    grad = heads_first(grad)
    q, q_norms = kind.vectors_and_norms(q.to(exact))
    k, k_norms = kind.vectors_and_norms(k.to(exact))
    low_q, low_k = (q * scale).to(dtype), k.to(dtype)
    exact_q, exact_k = low_q.to(exact), low_k.to(exact)
    q_grad, k_grad, v_grad = torch.empty_like(q), torch.empty_like(k), torch.empty_like(k)
    for rows, heads, bias, bias_grad in tiles:
        step = max(1, tiles.tile // bias.numel()) if len(bias) == num_heads else 1
        first = rows.start == 0
        for start in range(0, len(qkv), step):
            keys = slice(start, start + step), heads
            queries = *keys, rows
            part_q = _part(exact_q, queries)
            shape = len(part_q), *bias.shape[1:]
            logits, probs, logits_grad = (scratch.view(i, shape) for i in range(3))
            logits.unflatten(0, (-1, len(bias))).copy_(bias)
            logits.baddbmm_(part_q, _part(exact_k, keys).mT)
            torch.softmax(logits, -1, out=probs)
            out_grad = _part(grad, queries)
            add_product(_part(v_grad, keys), probs.to(dtype).mT, out_grad, first)
            probs_grad = logits  # they are not needed any more
            add_product(probs_grad, out_grad, _part(v, keys).mT, first=True)
            torch._softmax_backward_data(probs_grad, probs, -1, exact, grad_input=logits_grad)
            by_window = logits_grad.unflatten(0, (-1, len(bias)))
            bias_grad += by_window.sum(0) if len(by_window) > 1 else by_window[0]
            logits_grad = logits_grad.to(dtype)
            add_product(_part(q_grad, queries), logits_grad, _part(low_k, keys), first=True)
            add_product(_part(k_grad, keys), logits_grad.mT, _part(low_q, queries), first)
    scale_grad.flatten().add_(kind.scale_grad(q_grad, q))
    q_grad *= scale
    out = qkv.new_empty(*qkv.shape[:2], 3, num_heads, q.shape[-1])
    kind.to_inputs(q_grad, q, q_norms)
    kind.to_inputs(k_grad, k, k_norms)
    for i, d in enumerate((q_grad, k_grad, v_grad)):
        out[:, :, i] = d.transpose(1, 2)
    return out.flatten(2)


def _part(x: Tensor, index: tuple[slice, ...]) -> Tensor:
    """A view of some windows, heads and tokens, with windows and heads on one axis."""
    part = x[index]
    return part.view(-1, *part.shape[2:])


def _plan(
    x: Tensor, weight: Tensor, table: Tensor, window_size: Sequence[int], shifted: bool
) -> tuple[Tensor, Iterator[tuple[tuple[int, ...], Tensor, Iterator[Group]]]]:
    """The map padded to whole windows, and for each window size its bias and its groups.

    Both passes use it, so they see the same bias in the same rounding.
    """
    layouts = axis_layouts(x.shape[1:-1], window_size, shifted)
    x = pad_map(x, layouts)
    max_tokens = tile_numel(GROUP, x) // weight.shape[0]
    by_window = itertools.groupby(
        groups(x.shape[0], layouts, max_tokens), key=lambda group: group.window_size
    )
    return x, (
        (window, as_attn_mask(bias_lines(table, window), weight), found)
        for window, found in by_window
    )


# --------------------------------------------------------------------------- for compiled graphs

# torch.compile would unroll the loops above. As custom operators, both passes are one node each.
_PARAMS = 'Tensor weight, Tensor bias, Tensor scale, Tensor table'
_SETTINGS = 'int[] window_size, bool shifted, str similarity, float eps'


@torch.library.custom_op(
    'swinv2_dense::tiled_attention',
    mutates_args=(),
    schema=f'(Tensor x, {_PARAMS}, {_SETTINGS}, bool keep_qkv) -> (Tensor, Tensor)',
)
def compiled_attention(
    x, weight, bias, scale, table, window_size, shifted, similarity, eps, keep_qkv
):
    """`tiled_forward` as one node of a compiled graph; differentiable with or without q, k, v."""
    out, kept = tiled_forward(
        x, weight, bias, scale, table, window_size, shifted, similarity, eps, keep_qkv
    )
    return out.contiguous(), kept


@compiled_attention.register_fake
def _(x, weight, bias, scale, table, window_size, shifted, similarity, eps, keep_qkv):
    layouts = axis_layouts(x.shape[1:-1], window_size, shifted)
    tokens = x.shape[0] if keep_qkv else 0
    for size, layout in zip(x.shape[1:-1], layouts):
        tokens *= size + layout.pad
    out = x.new_empty(x.shape, dtype=weight.dtype)
    return out, out.new_empty(tokens, weight.shape[0])


@torch.library.custom_op(
    'swinv2_dense::tiled_attention_backward',
    mutates_args=(),
    schema=f'(Tensor grad, Tensor x, Tensor kept, {_PARAMS}, {_SETTINGS})'
    ' -> (Tensor, Tensor, Tensor, Tensor, Tensor)',
)
def _compiled_backward(
    grad, x, kept, weight, bias, scale, table, window_size, shifted, similarity, eps
):
    tensors = grad, x, kept, weight, bias, scale, table
    grads = tiled_backward(*tensors, window_size, shifted, similarity, eps)
    return tuple(g.contiguous() for g in grads)


@_compiled_backward.register_fake
def _(grad, x, kept, weight, bias, scale, table, window_size, shifted, similarity, eps):
    return tuple(t.new_empty(t.shape) for t in (x, weight, bias, scale, table))


def _no_second_derivative(ctx, *_):
    raise RuntimeError(NO_SECOND_DERIVATIVE)


_compiled_backward.register_autograd(_no_second_derivative)


def _setup_context(ctx, inputs, output):
    x, weight, bias, scale, table, *settings, _ = inputs
    ctx.save_for_backward(x, output[1], weight, bias, scale, table)
    ctx.settings = settings


def _backward(ctx, grad, _):
    grads = _compiled_backward(grad, *ctx.saved_tensors, *ctx.settings)
    return *grads, None, None, None, None, None


compiled_attention.register_autograd(_backward, setup_context=_setup_context)
