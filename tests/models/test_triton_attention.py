"""attention_backend='triton' under Triton's interpreter, on the CPU: results, refusals."""

from __future__ import annotations

import importlib.util
import warnings

import oracle
import pytest
import torch
from attention_checks import assert_as_exact_as_plain, assert_equal_in_fp32, attend, weights
from torch.testing import assert_close
from window_cases import randomized

from swinv2_dense import SwinTransformerV2
from swinv2_dense.models.bias_table import BiasTable
from swinv2_dense.models.window_attention import ATTENTIONS, WindowAttention

# Map, window. Few programs: the interpreter takes some tens of milliseconds for each.
QUICK = {
    'padded, shifted, cut': ((5, 6), (4, 4)),
    'clamped to the map': ((3, 9), (8, 5)),
    'video': ((3, 5, 4), (2, 4, 4)),
}
SLOW = {
    '1d': ((13,), (5,)),
    'several tiles per window': ((9, 12), (9, 8)),
    'odd': ((21, 26), (7, 9)),
    'one frame per window': ((3, 10, 11), (1, 5, 6)),
    'one token per window': ((3, 4), (1, 1)),
    'video of several tiles': ((5, 9, 10), (4, 5, 6)),
}
# Rounding in the log-sum-exp, of which the gradient of the scale is a sum as well, makes errors of
# 7e-5 where its terms cancel; see assert_as_exact_as_plain.
BOUNDS = dict(scale=1e-4, floor=1e-6)
CASES = [
    *(pytest.param(*case, id=name) for name, case in QUICK.items()),
    *(pytest.param(*case, id=name, marks=pytest.mark.slow) for name, case in SLOW.items()),
]


@pytest.fixture
def interpreter() -> None:
    """The kernels run as Python; conftest.py asks for it where there is no GPU."""
    pytest.importorskip(
        'triton', reason='triton is not installed: pip install swinv2_dense[triton]'
    )
    if torch.cuda.is_available():
        pytest.skip('on CUDA the kernels are compiled; see test_attention_backends.py')


def module_of(window: tuple, shifted: bool, dims: int = 32, heads: int = 2) -> WindowAttention:
    return randomized(WindowAttention(dims, heads, window, window, shifted=shifted))


@pytest.mark.parametrize('sizes, window', CASES)
def test_equals_the_oracle(sizes, window, interpreter):
    """Output and all gradients, in fp32, against plain loops in fp64."""
    module = module_of(window, shifted=True, dims=16, heads=1).double()
    params = dict(module.named_parameters())
    x = torch.randn(1, *sizes, 16, dtype=torch.float64, requires_grad=True)
    expected = oracle.window_attention(x[0], params, 1, window, window, True)[None]
    total = (expected * weights(expected)).sum()
    expected = [expected.detach(), *torch.autograd.grad(total, [x, *params.values()])]
    assert_as_exact_as_plain(module.float(), x.detach().float(), 'triton', expected)


@pytest.mark.parametrize('similarity, eps', [('dot', 0.0), ('cosine', 0.3)])
@pytest.mark.parametrize('sizes, window', [CASES[0], *CASES[len(QUICK) :]])
def test_other_similarities_equal_plain(sizes, window, similarity, eps, interpreter):
    """Dot products, with a bias of the keys, and cosines with an epsilon large enough to matter."""
    module = ATTENTIONS[similarity](
        16, 1, window, window, shifted=True, position_bias=BiasTable, cosine_eps=eps
    )
    x = torch.randn(2, *sizes, 16)
    exact = attend(randomized(module).double(), x.double(), 'plain')
    assert_as_exact_as_plain(module.float(), x, 'triton', exact)


@pytest.mark.parametrize('shifted', [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize('sizes, window', [CASES[0], *CASES[len(QUICK) :]])
def test_equals_tiled(sizes, window, shifted, interpreter):
    """Several heads and samples."""
    module = module_of(window, shifted)
    x = torch.randn(2, *sizes, 32)
    assert_equal_in_fp32(module, attend(module, x, 'triton'), attend(module, x, 'tiled'), **BOUNDS)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_close_to_fp32(dtype, interpreter):
    """To 5 %; the gradient of the scale, a sum of terms of both signs, to 20 %.

    It suffers from the rounding of the output, which the backward pass reads again.
    """
    module = module_of((4, 4), shifted=True)
    x = torch.randn(1, 5, 7, 32)
    exact = attend(module, x, 'plain')
    with torch.autocast('cpu', dtype):
        found = attend(module, x, 'triton')
    names = ['out', 'x', *dict(module.named_parameters())]
    for name, a, b in zip(names, found, exact, strict=True):
        bound = 0.2 if name == 'logit_scale' else 0.05
        assert (a.float() - b).norm() < bound * b.norm(), name


def test_frozen_bias_and_sequential(interpreter):
    """The table has no gradient where it is frozen; projecting again changes nothing."""
    module = module_of((4, 4), shifted=True)
    module.cpb_mlp.requires_grad_(False)
    x = torch.randn(1, 6, 5, 32)
    kept = attend(module, x, 'triton', sequential=False)
    again = attend(module, x, 'triton', sequential=True)
    assert_equal_in_fp32(module, kept, attend(module, x, 'plain', sequential=False))
    for a, b in zip(kept, again):
        assert_close(a, b, atol=1e-6, rtol=1e-6)


def test_windows_beyond_the_arithmetic_are_refused(interpreter):
    """n * (h w) of a window stays below 2^31: 215 is the largest square."""
    from swinv2_dense.models.triton_attention import Geometry

    Geometry.of((215, 215), (300, 300), False)
    Geometry.of((16, 56, 56), (16, 56, 56), False)
    with pytest.raises(
        ValueError, match=r"'triton' does not take windows as large as \(216, 216\); use"
    ):
        Geometry.of((216, 216), (300, 300), False)


def test_no_second_derivative(interpreter):
    module = module_of((2, 2), shifted=False)
    module.backend = 'triton'
    x = torch.randn(1, 2, 2, 32, requires_grad=True)
    (grad,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="'triton' has no second derivatives; use .*'plain'"):
        grad.sum().backward()


def test_deterministic_algorithms_use_tiled(interpreter):
    module = module_of((4, 4), shifted=True)
    x = torch.randn(1, 6, 5, 32)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.warns(UserWarning, match="not deterministic; 'tiled' is used instead"):
            found = attend(module, x, 'triton')
    finally:
        torch.use_deterministic_algorithms(False)
    for a, b in zip(found, attend(module, x, 'tiled'), strict=True):
        assert torch.equal(a, b)


def test_what_triton_does_not_take_is_named(monkeypatch):
    if importlib.util.find_spec('triton') is None:
        pytest.skip('triton is not installed: pip install swinv2_dense[triton]')
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    with pytest.raises(ValueError, match=r"'triton' supports \(16, 32, 64\) channels per head, n"):
        WindowAttention(24, 1, (4, 4), (4, 4), backend='triton')
    module = WindowAttention(32, 2, (4, 4), (4, 4), backend='triton')
    with pytest.raises(ValueError, match="'triton' runs on CUDA, not on cpu; use 'auto'"):
        module(torch.randn(1, 4, 4, 32))
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    with pytest.raises(ValueError, match="'triton' takes float32, bfloat16 and float16, not float"):
        module.double()(torch.randn(1, 4, 4, 32, dtype=torch.float64))


def test_a_missing_package_is_named(monkeypatch):
    """Found out when the model is built, not in the first step."""
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'triton: install it by `pip install swinv2_dense\[trit'):
        SwinTransformerV2(arch='t', attention_backend='triton')


def test_shapes_and_exports_use_plain():
    """On the meta device, where no kernel runs."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        module = WindowAttention(32, 2, (4, 4), (4, 4)).to('meta')
        module.backend = 'triton'
        assert module(torch.empty(1, 9, 7, 32, device='meta')).shape == (1, 9, 7, 32)
