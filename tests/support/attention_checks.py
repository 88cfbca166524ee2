"""Output and gradients of an attention module, and when two of them count as equal."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from swinv2_dense.models.window_attention import WindowAttention


def weights(out: torch.Tensor) -> torch.Tensor:
    """Fixed random numbers like `out`, to reduce it to a scalar."""
    generator = torch.Generator().manual_seed(7)
    return torch.randn(out.shape, generator=generator).to(out)


def attend(module: WindowAttention, x: torch.Tensor, backend: str, **settings) -> list:
    """Output of a backend and the gradients of x and of every parameter that has one."""
    module.backend = backend
    for name, value in settings.items():
        setattr(module, name, value)
    x = x.detach().requires_grad_()
    out = module(x)
    weight = weights(out)
    inputs = [x, *(p for p in module.parameters() if p.requires_grad)]
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)]


def assert_equal_in_fp32(
    module: WindowAttention, found: list, expected: list, scale: float = 5e-5, floor: float = 0.0
) -> None:
    """The output and every gradient, to 1e-5 of the largest element.

    The gradient of the logit scale is a sum of terms of both signs over all tokens of a head; even
    the plain form differs from fp64 by 2e-5 there.

    Args:
        module: Names the gradients.
        found: As `attend` returns it.
        expected: The same of another backend.
        scale: Bound for the gradient of the logit scale.
        floor: Of all bounds, as a fraction of the largest element of all: gradients that are 0 are
            differences of large ones.
    """
    names = ['out', 'x', *(n for n, p in module.named_parameters() if p.requires_grad)]
    largest = max(value.abs().max().item() for value in expected)
    for name, a, b in zip(names, found, expected, strict=True):
        tol = scale if name == 'logit_scale' else 1e-5
        limit = max(tol * max(b.abs().max().item(), 1), floor * largest)
        assert_close(a, b, atol=limit, rtol=0, msg=lambda m, n=name: f'{n}: {m}')


def assert_as_exact_as_plain(
    module: WindowAttention, x: torch.Tensor, backend: str, exact: list
) -> None:
    """Output and gradients in fp32: to 1e-5 of the largest element, or 4 times plain's error.

    The gradient of the logit scale to 1e-4, see above: rounding in the log-sum-exp, of which it is
    a sum as well, makes errors of 7e-5 where its terms cancel.

    Args:
        module: In fp32.
        x: Its input, in fp32.
        backend: What is checked.
        exact: Output and gradients in fp64.
    """
    names = ['out', 'x', *(n for n, p in module.named_parameters() if p.requires_grad)]
    found, plain = (attend(module, x, name) for name in (backend, 'plain'))
    largest = max(value.abs().max().item() for value in exact)  # gradients of 0 are differences
    for name, a, b, c in zip(names, found, plain, exact, strict=True):
        error = (b.double() - c).abs().max().item()
        tol = 1e-4 if name == 'logit_scale' else 1e-5
        limit = max(tol * max(c.abs().max().item(), 1), 1e-6 * largest, 4 * error)
        assert_close(a.double(), c, atol=limit, rtol=0, msg=lambda m, n=name: f'{n}: {m}')
