"""Products in bf16 on CPUs run in fp32 where that is faster; the result is bf16 all the same."""

from __future__ import annotations

import pytest
import torch

from swinv2_dense.models import precision


@pytest.mark.parametrize(
    'capability, has_tiles, slow',
    [
        ('AVX2', False, True),
        ('AVX512', False, True),  # AVX-512 BF16 alone: half the speed of fp32
        ('AVX512', True, False),
        ('AVX2', True, True),  # forced by ATEN_CPU_CAPABILITY
        ('DEFAULT', False, False),
        ('SVE256', False, False),
    ],
)
def test_the_capability_decides(capability, has_tiles, slow):
    assert precision.bf16_is_slow(capability, has_tiles) == slow


def test_products_are_rounded_once():
    """The error of a bf16 product is that of rounding its result, at most 2^-9 of it."""
    torch.manual_seed(0)
    a, b = (torch.randn(64, 64).bfloat16() for _ in range(2))
    exact = a.double() @ b.double()
    found = precision.matmul(a, b)
    assert found.dtype == torch.bfloat16
    assert ((found.double() - exact).abs() <= exact.abs() * 2**-8 + 1e-5).all()
