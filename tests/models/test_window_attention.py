"""Window attention against plain loops, hand-computed values and first principles."""

from __future__ import annotations

import itertools
import math

import oracle
import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from window_cases import CASES, build, randomized

from swinv2_dense.models.attention_backends import attention
from swinv2_dense.models.bias_tiles import (
    bias_lines,
    gather_bias,
    unfold_bias,
    unfold_lines,
    whole_bias,
)
from swinv2_dense.models.position_bias import LogCPB, log_coords
from swinv2_dense.models.precision import safe_normalize
from swinv2_dense.models.window_attention import WindowAttention
from swinv2_dense.models.windows import axis_layout, window_partition, window_reverse


@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize('sizes, window, pretrained_window', CASES.values(), ids=CASES)
def test_equals_oracle_with_gradients(sizes, window, pretrained_window, shifted):
    module = build(window, pretrained_window, shifted)
    x = torch.randn(2, *sizes, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, *sizes, 6, dtype=torch.float64)
    out = module(x)
    grads = torch.autograd.grad((out * weight).sum(), [x, *module.parameters()])
    params = dict(module.named_parameters())
    expected = torch.stack(
        [oracle.window_attention(s, params, 2, window, pretrained_window, shifted) for s in x]
    )
    expected_grads = torch.autograd.grad((expected * weight).sum(), [x, *module.parameters()])
    assert_close(out, expected, atol=1e-10, rtol=1e-10)
    for name, grad, reference in zip(['x', *params], grads, expected_grads):
        assert_close(grad, reference, atol=1e-9, rtol=1e-9, msg=lambda m, n=name: f'{n}: {m}')


@pytest.mark.parametrize('shifted', [False, True])
def test_equals_oracle_in_fp32(shifted):
    module = build((4, 4), (4, 4), shifted, torch.float32)
    x = torch.randn(1, 6, 7, 6)
    expected = oracle.window_attention(
        x[0].double(),
        {k: p.double() for k, p in module.named_parameters()},
        2,
        (4, 4),
        (4, 4),
        shifted,
    )
    assert_close(module(x)[0].double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('sizes, window, pretrained_window', CASES.values(), ids=CASES)
def test_connectivity_by_perturbation(sizes, window, pretrained_window):
    """A token influences exactly the tokens that share its cell of the shifted grid."""
    module = build(window, pretrained_window, shifted=True)
    positions = list(itertools.product(*map(range, sizes)))
    cells = torch.tensor(
        [
            [(p - (w // 2 if w < s else 0)) // min(w, s) for p, w, s in zip(pos, window, sizes)]
            for pos in positions
        ]
    )
    x = torch.randn(1, *sizes, 6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda t: module(t).sum(-1).flatten(), x)
    influence = jacobian.flatten(2, -2).abs().sum(-1)[:, 0]
    together = (cells[:, None] == cells[None]).all(-1)
    assert torch.equal(influence > 0, together)


def test_tokens_across_the_border_never_attend_at_the_largest_scale():
    """Here an additive -100 would leak: cosine -1 inside the cell, +1 across, scale 100."""
    module = build((4,), (4,), shifted=True)
    with torch.no_grad():
        module.logit_scale.fill_(1e3)
        module.cpb_mlp[2].weight.zero_()
    x = torch.randn(1, 8, 6, dtype=torch.float64)
    changed = x.clone()
    changed[:, 0:2] = torch.randn(1, 2, 6, dtype=torch.float64) * 100
    assert torch.equal(module(x)[:, 6:], module(changed)[:, 6:])


@pytest.mark.parametrize(
    'window, shifted', [(4, False), (4, True), (5, True), (2, True), (1, True)]
)
@pytest.mark.parametrize('size', range(1, 14))
def test_axis_layout_covers_each_token_once(size, window, shifted):
    layout = axis_layout(size, window, shifted)
    runs = [t for r in layout.runs for t in range(r.start, r.start + r.num_tokens)]
    assert runs == list(range(size + layout.pad))
    first = layout.runs[0]
    if size <= window:
        assert (layout.pad, len(layout.runs), first.window) == (0, 1, size)
    else:
        assert layout.pad < window
        assert first.window == (window // 2 if shifted and window > 1 else window)


@pytest.mark.parametrize('sizes, window', [((6,), (2,)), ((4, 9), (2, 3)), ((2, 4, 9), (1, 2, 3))])
def test_partition_order_and_inverse(sizes, window):
    x = torch.randn(2, *sizes, 5)
    windows = window_partition(x, window)
    assert torch.equal(window_reverse(windows, window, sizes), x)
    first = x[(0, *(slice(w) for w in window))].reshape(-1, 5)
    assert torch.equal(windows[0], first)
    counts = [s // w for s, w in zip(sizes, window)]
    last = x[(1, *(slice((c - 1) * w, None) for c, w in zip(counts, window)))].reshape(-1, 5)
    assert torch.equal(windows[-1], last)


def test_empty_batch():
    module = build((2, 2), (2, 2), True)
    assert module(torch.randn(0, 4, 4, 6, dtype=torch.float64)).shape == (0, 4, 4, 6)


@pytest.mark.parametrize('window', [(5,), (5, 3), (2, 1, 3)])
def test_the_bias_of_exported_graphs_and_on_gpus_is_the_same(window):
    """From a table of a larger window."""
    table = torch.randn(3, *(2 * size + 1 for size in window))
    expected = gather_bias(table, window)
    assert torch.equal(unfold_bias(table, window), expected)
    lines = bias_lines(table, window)
    assert torch.equal(unfold_lines(lines, window), expected)
    assert torch.equal(whole_bias(lines, window), expected)


def test_gather_bias_reads_the_offset_of_each_pair():
    table = torch.arange(2 * 5 * 7).reshape(2, 5, 7)  # window 3 x 4
    bias = gather_bias(table, (2, 4))
    for q, k in itertools.product(itertools.product(range(2), range(4)), repeat=2):
        element = bias[:, q[0] * 4 + q[1], k[0] * 4 + k[1]]
        assert torch.equal(element, table[:, q[0] - k[0] + 2, q[1] - k[1] + 3])


def test_log_cpb_by_hand():
    """Window 8 and pretrained window 8: the outermost offset is 7/7*8 = 8, log2(9)/3 = 1.05664."""
    cpb = LogCPB(1, (8, 8), hidden_dims=1)
    with torch.no_grad():
        cpb[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
        cpb[0].bias.fill_(0.25)
        cpb[2].weight.fill_(2.0)
    table = cpb((8, 8))
    assert table.shape == (1, 15, 15)
    # offset 7: 16 * sigmoid(2 * (1.0566416671 + 0.25)) ; offset -7: ReLU is off, 16 * sigmoid(0)
    assert_close(table[0, 14, 3].item(), 16 / (1 + math.exp(-2 * 1.3066416671)), atol=1e-5, rtol=0)
    assert table[0, 0, 3].item() == 8.0
    # offset 0: coordinate 0, 16 * sigmoid(0.5)
    assert_close(table[0, 7, 0].item(), 16 / (1 + math.exp(-0.5)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    'window, pretrained_window, corner',
    [
        (8, 8, 1.0566),
        (16, 8, 1.394),
        (24, 12, 1.383),
        (32, 12, 1.519),
        (48, 12, 1.712),
        (28, 6, 1.822),
    ],
)
def test_log_coordinates_reach_the_published_maxima(window, pretrained_window, corner):
    coords = log_coords(window, pretrained_window, torch.zeros(1, dtype=torch.float64))
    assert_close(coords[-1].item(), corner, atol=6e-4, rtol=0)
    assert_close(coords, -coords.flip(0))


def test_bias_of_an_offset_does_not_depend_on_the_window():
    """A larger window adds offsets and keeps the bias of those in the smaller one."""
    cpb = randomized(LogCPB(3, (4, 6)))
    small, large = cpb((4, 6)), cpb((7, 9))
    assert_close(large[:, 3:-3, 3:-3], small)


def test_attention_by_hand():
    """Logits (0, log 3) give the weights 1/4 and 3/4."""
    q = torch.tensor([[[[1.0, 0.0]]]])
    k = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    v = torch.tensor([[[[4.0], [8.0]]]])
    bias = torch.tensor([[[0.0, math.log(3) - 1]]])
    assert_close(attention(q, k, v, bias), torch.tensor([[[[7.0]]]]))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_normalized_zero_vectors_have_finite_gradients(dtype):
    """1e12 is inf in fp16, and inf * 0 is NaN in the gradient of the weights."""
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=dtype, requires_grad=True)
    unit = safe_normalize(x)
    assert unit.dtype == torch.float32
    assert_close(unit.detach(), torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    (grad,) = torch.autograd.grad(unit.sum(), x)
    assert grad.isfinite().all()


def test_depth_one_window_is_the_image_attention_per_frame():
    image = build((4, 4), (4, 4), True)
    video = WindowAttention(6, 2, (1, 4, 4), (1, 4, 4), shifted=True).double()
    state = image.state_dict()
    zeros = torch.zeros(512, 1, dtype=torch.float64)
    state['cpb_mlp.0.weight'] = torch.cat([zeros, state['cpb_mlp.0.weight']], dim=1)
    video.load_state_dict(state)
    x = torch.randn(2, 3, 6, 7, 6, dtype=torch.float64)
    per_frame = image(x.flatten(0, 1)).unflatten(0, (2, 3))
    assert_close(video(x), per_frame, atol=1e-12, rtol=1e-12)


class SquareProducts(TorchDispatchMode):
    """Records the dtypes of products and softmaxes of N x N elements."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ('bmm', '_softmax') and out.shape[-1] == out.shape[-2]:
            self.dtypes.setdefault(name, set()).update((args[0].dtype, out.dtype))
        return out


def test_logits_and_softmax_are_fp32_under_autocast():
    module = build((4, 4), (4, 4), True, torch.float32)
    module.backend = 'plain'
    with torch.autocast('cpu', torch.bfloat16), SquareProducts() as products:
        assert module(torch.randn(1, 6, 7, 6)).dtype == torch.bfloat16
    assert products.dtypes == {'bmm': {torch.float32}, '_softmax': {torch.float32}}


def test_the_bias_is_never_rounded():
    """It is fp32 under bf16 autocast and with bf16 weights, fp64 in fp64."""
    module = build((4, 4), (4, 4), True, torch.float32)
    assert module.cpb_mlp((4, 4)).dtype == torch.float32
    with torch.autocast('cpu', torch.bfloat16):
        table = module.cpb_mlp((4, 4))
    assert torch.equal(table, module.cpb_mlp((4, 4)))
    assert module.double().cpb_mlp((4, 4)).dtype == torch.float64
    assert module.bfloat16().cpb_mlp((4, 4)).dtype == torch.float32
