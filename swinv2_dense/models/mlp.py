"""The MLP of a block, whose wide hidden layer is computed in chunks of tokens."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import add_product, linear, matmul_dtype, without_autocast
from .scratch import Scratch
from .tile_sizes import HIDDEN, tile_numel
from .tracing import is_compiling


class Mlp(nn.Module):
    """Two linear layers with a GELU between them; the hidden layer has four times the channels.

    Without gradients, the hidden layer exists for one chunk of tokens at a time. With gradients,
    it is kept once, before the GELU. Where a layer is hooked or replaced, or a graph is traced,
    the layers are called as they are.
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dims, 4 * embed_dims)
        self.fc2 = nn.Linear(4 * embed_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)"""
        if (
            x.is_meta
            or is_compiling()
            or torch.jit.is_tracing()
            or not all(_is_plain(layer) for layer in (self.fc1, self.fc2))
        ):
            return self.fc2(F.gelu(self.fc1(x)))
        dtype = matmul_dtype(x)
        params = [p.to(dtype) for layer in (self.fc1, self.fc2) for p in (layer.weight, layer.bias)]
        tokens = x.reshape(-1, x.shape[-1]).to(dtype)
        if torch.is_grad_enabled() and any(t.requires_grad for t in (tokens, *params)):
            out = GeluMlp.apply(tokens, *params)
        else:
            out = gelu_mlp(tokens, *params)
        return out.view(x.shape)


def _is_plain(layer: nn.Module) -> bool:
    """Whether calling a layer does nothing but its product: no hooks, subclass or patched call."""
    names = ('forward_hooks', 'forward_pre_hooks', 'backward_hooks', 'backward_pre_hooks')
    hooked = any(
        getattr(layer, f'_{name}') or getattr(nn.modules.module, f'_global_{name}')
        for name in names
    )
    own = type(layer) is nn.Linear and 'forward' not in vars(layer) and layer.bias is not None
    return own and not hooked


class GeluMlp(torch.autograd.Function):
    """`gelu_mlp` with gradients; `apply` takes the same arguments, all of one dtype."""

    @staticmethod
    def forward(ctx, x, weight1, bias1, weight2, bias2):
        hidden = x.new_empty(len(x), len(weight1))
        ctx.save_for_backward(x, hidden, weight1, bias1, weight2)
        return gelu_mlp(x, weight1, bias1, weight2, bias2, hidden)

    @staticmethod
    def backward(ctx, grad):
        # With h = x W1^T + b1 and y = gelu(h) W2^T + b2:
        #   dW2 = dy^T gelu(h)            db2 = sum dy
        #   dh  = (dy W2) * gelu'(h)
        #   dW1 = dh^T x                  db1 = sum dh             dx = dh W1
        # The sums over tokens grow chunk by chunk, in fp32 at least.
        x, hidden, weight1, bias1, weight2 = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            return _differentiable_grads(grad, x, weight1, bias1, weight2)
        x_grad, exact = torch.empty_like(x), torch.promote_types(x.dtype, torch.float32)
        weight1_grad, weight2_grad = (
            torch.empty_like(w, dtype=exact) if needed else None
            for w, needed in zip((weight1, weight2), ctx.needs_input_grad[1::2])
        )
        bias1_grad, bias2_grad = (
            torch.zeros_like(w[:, 0], dtype=exact) for w in (weight1, weight2)
        )
        scratch = Scratch(x)
        with without_autocast(x):
            for rows in _chunks(x, len(weight1)):
                first, chunk, inner = rows.start == 0, grad[rows], hidden[rows]
                wide = [scratch.view(i, inner.shape) for i in range(2)]
                if weight2_grad is not None:
                    add_product(weight2_grad, chunk.t(), _gelu(inner, wide[0]), first)
                add_product(wide[0], chunk, weight2, first=True)
                inner_grad = torch.ops.aten.gelu_backward(wide[0], inner, grad_input=wide[1])
                if weight1_grad is not None:
                    add_product(weight1_grad, inner_grad.t(), x[rows], first)
                add_product(x_grad[rows], inner_grad, weight1, first=True)
                bias1_grad += inner_grad.sum(0, dtype=exact)
                bias2_grad += chunk.sum(0, dtype=exact)
        totals = weight1_grad, bias1_grad, weight2_grad, bias2_grad
        return x_grad, *(total if total is None else total.to(x.dtype) for total in totals)


def _differentiable_grads(
    grad: Tensor, x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor
) -> tuple[Tensor, ...]:
    """The gradients of `GeluMlp` as functions of its inputs, for second derivatives."""
    with without_autocast(x):
        hidden = F.linear(x, weight1, bias1)
        inner_grad = torch.ops.aten.gelu_backward(grad @ weight2, hidden)
        x_grad, weight1_grad = inner_grad @ weight1, inner_grad.t() @ x
        weight2_grad = grad.t() @ F.gelu(hidden)
        return x_grad, weight1_grad, inner_grad.sum(0), weight2_grad, grad.sum(0)


def gelu_mlp(
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    hidden: Tensor | None = None,
) -> Tensor:
    """(T, C) -> (T, C); the inputs of the GELU are written to `hidden` (T, 4C) if it is given."""
    out, scratch = torch.empty_like(x), Scratch(x)
    with without_autocast(x):
        for rows in _chunks(x, len(weight1)):
            shape = len(x[rows]), len(weight1)
            inner = scratch.view(0, shape) if hidden is None else hidden[rows]
            linear(x[rows], weight1, bias1, inner)
            linear(_gelu(inner, scratch.view(1, shape)), weight2, bias2, out[rows])
    return out


def _gelu(x: Tensor, out: Tensor) -> Tensor:
    """`F.gelu`, written to `out`."""
    return torch.ops.aten.gelu(x, out=out)


def _chunks(x: Tensor, hidden_dims: int) -> Iterator[slice]:
    step = max(1, tile_numel(HIDDEN, x) // hidden_dims)
    return (slice(first, first + step) for first in range(0, max(1, len(x)), step))
