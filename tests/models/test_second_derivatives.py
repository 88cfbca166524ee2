"""Second derivatives, e.g. of a gradient penalty, are correct or raise an error."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swinv2_dense import SwinTransformerV2
from swinv2_dense.models import tile_sizes
from swinv2_dense.models.mlp import Mlp
from swinv2_dense.models.position_bias import LogCPB
from swinv2_dense.models.tiled_attention import compiled_attention
from swinv2_dense.models.window_attention import WindowAttention

LOSSES = {  # once_differentiable misses the first, whose gradient is a constant
    'linear': lambda out: out.sum(),
    'square': lambda out: out.square().sum(),
}


def randomized(module: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return module.double()


def attention(backend: str, sequential: bool = False) -> WindowAttention:
    module = WindowAttention(8, 2, (4, 4), (4, 4), True, sequential, backend)
    module = randomized(module)
    if backend == 'sdpa':
        module.cpb_mlp.requires_grad_(False)
    return module


def image() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(1, 5, 6, 8, dtype=torch.double, requires_grad=True)


def penalty(module: nn.Module, x: Tensor, loss: str, first: list[Tensor]) -> Tensor:
    """Square of the first gradient."""
    grads = torch.autograd.grad(LOSSES[loss](module(x)), first, create_graph=True)
    return sum(grad.square().sum() for grad in grads)


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize('sequential', [False, True])
@pytest.mark.parametrize('backend', ['auto', 'tiled', 'sdpa'])
@pytest.mark.parametrize('of_weights', [False, True])
def test_fused_attention_raises(backend, sequential, loss, of_weights):
    module, x = attention(backend, sequential), image()
    first = [module.qkv.weight, module.logit_scale] if of_weights else [x]
    square = penalty(module, x, loss, first)
    for second in ([x], [module.qkv.weight], [module.logit_scale]):
        with pytest.raises(RuntimeError, match="backend='plain'|not implemented"):
            torch.autograd.grad(square, second, retain_graph=True, allow_unused=True)
    with pytest.raises(RuntimeError):
        square.backward()


@pytest.mark.parametrize('loss', LOSSES)
def test_the_operator_of_compiled_graphs_raises(loss):
    x, weight = image(), torch.randn(24, 8, dtype=torch.double, requires_grad=True)
    bias, scale = weight.new_zeros(24), weight.new_ones(2, 1, 1)
    table = torch.randn(2, 7, 7, dtype=torch.double)

    def op(x: Tensor) -> Tensor:
        settings = [4, 4], True, 'cosine', 0.0, True
        return compiled_attention(x, weight, bias, scale, table, *settings)[0]

    (grad,) = torch.autograd.grad(LOSSES[loss](op(x)), x, create_graph=True)
    with pytest.raises(RuntimeError, match="attention_backend='plain'"):
        torch.autograd.grad(grad.square().sum(), x, allow_unused=True)


@pytest.mark.parametrize('sequential', [False, True])
def test_plain_attention_is_right(sequential):
    """Including position bias and scale, compared with finite differences."""
    module = attention('plain', sequential)
    parts = {n: p for n, p in module.named_parameters() if 'logit' in n or 'q_bias' in n}
    parts['cpb_mlp.2.weight'] = module.cpb_mlp[2].weight[:, :3].detach().requires_grad_()
    rest = module.cpb_mlp[2].weight[:, 3:].detach()

    def run(x: Tensor, *given: Tensor) -> Tensor:
        changed = dict(zip(parts, given))
        changed['cpb_mlp.2.weight'] = torch.cat([changed['cpb_mlp.2.weight'], rest], dim=1)
        return torch.func.functional_call(module, changed, (x,))

    x = image()[:, :3, :2].detach().requires_grad_()
    inputs = tuple(p.detach().requires_grad_() for p in parts.values())
    assert torch.autograd.gradgradcheck(run, (x, *inputs), atol=1e-4)


def test_the_first_gradient_is_the_same_with_a_graph():
    for module in (attention('tiled'), randomized(Mlp(8))):
        x = image()
        plain, kept = (
            torch.autograd.grad(
                LOSSES['square'](module(x)), [x, *module.parameters()], create_graph=c
            )
            for c in (False, True)
        )
        for a, b in zip(plain, kept):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize('chunk', [1 << 20, 64])
@pytest.mark.parametrize('loss', LOSSES)
def test_the_mlp_is_right(loss, chunk, monkeypatch):
    monkeypatch.setitem(tile_sizes.HIDDEN, 'cpu', chunk)
    module, x = randomized(Mlp(8)), image()
    inputs = [x, *module.parameters()]

    def layers(x: Tensor) -> Tensor:
        return module.fc2(F.gelu(module.fc1(x)))

    found, expected = (
        torch.autograd.grad(penalty(run, x, loss, inputs), inputs, allow_unused=True)
        for run in (module, layers)
    )
    for a, b in zip(found, expected):  # the last bias has no gradient
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)
    assert torch.autograd.gradgradcheck(module, image()[:, :2, :2].detach().requires_grad_())


@pytest.mark.parametrize('loss', LOSSES)
def test_the_position_bias_is_right(loss):
    module = randomized(LogCPB(2, (4, 4), hidden_dims=16))
    inputs = list(module.parameters())
    found, expected = (
        torch.autograd.grad(penalty(run, (4, 3), loss, inputs), inputs, allow_unused=True)
        for run in (module, module.evaluate)
    )
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b)


# ------------------------------------------------------------------------------------- a backbone


class Total(nn.Module):
    """A backbone whose maps are flattened into one vector."""

    def __init__(self, **settings: object) -> None:
        super().__init__()
        arch = dict(embed_dims=8, depths=[2, 2], num_heads=[1, 2])
        backbone = SwinTransformerV2(arch=arch, window_size=4, out_indices=(0, 1), **settings)
        self.backbone = randomized(backbone).train()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([out.flatten() for out in self.backbone(x)])


@pytest.mark.parametrize('with_cp', [False, True])
def test_a_gradient_penalty_of_a_whole_backbone(with_cp):
    settings = dict(drop_path_rate=0.0, with_cp=with_cp)
    x = torch.randn(1, 3, 24, 28, dtype=torch.double, requires_grad=True)
    module = Total(attention_backend='plain', **settings)
    penalty(module, x, 'square', [x]).backward()
    for name in ('layers.0.blocks.1.attn.logit_scale', 'layers.1.blocks.0.mlp.fc1.bias'):
        weight = module.backbone.get_parameter(name)
        found, step = weight.grad.flatten()[0].item(), 1e-6
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.view(-1)[0] += sign * step
            values.append(penalty(module, x, 'square', [x]).item())
            with torch.no_grad():
                weight.view(-1)[0] -= sign * step
        assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)
    with pytest.raises(RuntimeError, match="use attention_backend='plain'"):
        penalty(Total(**settings), x, 'linear', [x]).backward()
