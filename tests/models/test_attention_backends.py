"""The attention backends: all equal the plain one, and no other keeps N x N."""

from __future__ import annotations

import itertools
import math
import statistics

import oracle
import pytest
import torch
import torch.nn.functional as F
from attention_checks import assert_equal_in_fp32, attend, weights
from kept_bytes import kept_bytes
from tiny_models import tiny
from torch.testing import assert_close
from window_cases import CASES, build, randomized

from swinv2_dense.choices import ATTENTION_BACKENDS
from swinv2_dense.costs.counts import LargestTensor
from swinv2_dense.models import tile_sizes
from swinv2_dense.models.bias_tiles import bias_lines, bias_tiles, gather_bias
from swinv2_dense.models.mlp import Mlp
from swinv2_dense.models.position_bias import LogCPB
from swinv2_dense.models.window_attention import WindowAttention
from swinv2_dense.models.windows import axis_layouts, groups

# Map, window: several groups and tiles, odd lines, all kinds of runs, one to three axes.
LARGER = {
    '1d': ((150,), (64,)),
    'windows of 8': ((20, 28), (8, 8)),
    'windows of 16': ((40, 33), (16, 16)),
    'odd': ((21, 26), (7, 9)),
    'video': ((6, 13, 14), (4, 5, 6)),
    'one frame per window': ((3, 10, 11), (1, 5, 6)),
}


@pytest.fixture(params=[0, 1 << 22], ids=['lines', 'heads'])
def small_pieces(request, monkeypatch):
    """One or two windows per group and one line of queries, or one head of a window, per tile."""
    monkeypatch.setitem(tile_sizes.WHOLE_BIAS, 'cpu', request.param)
    monkeypatch.setitem(tile_sizes.GROUP, 'cpu', 180)
    monkeypatch.setitem(tile_sizes.FORWARD_TILE, 'cpu', 1)
    monkeypatch.setitem(tile_sizes.BACKWARD_TILE, 'cpu', 16)


@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize('sizes, window, pretrained_window', CASES.values(), ids=CASES)
def test_small_pieces_equal_the_oracle(sizes, window, pretrained_window, shifted, small_pieces):
    module = build(window, pretrained_window, shifted)
    params = dict(module.named_parameters())
    x = torch.randn(2, *sizes, 6, dtype=torch.float64)
    out, *grads = attend(module, x, 'tiled')
    x.requires_grad_()
    expected = torch.stack(
        [oracle.window_attention(s, params, 2, window, pretrained_window, shifted) for s in x]
    )
    expected_grads = torch.autograd.grad((expected * weights(out)).sum(), [x, *params.values()])
    assert_close(out, expected, atol=1e-10, rtol=1e-10)
    for name, grad, reference in zip(['x', *params], grads, expected_grads):
        assert_close(grad, reference, atol=1e-9, rtol=1e-9, msg=lambda m, n=name: f'{n}: {m}')


def larger(window: tuple, shifted: bool) -> WindowAttention:
    return randomized(WindowAttention(32, 2, window, window, shifted=shifted))


@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize(
    'backend, sequential', [('tiled', False), ('tiled', True), ('auto', False)]
)
@pytest.mark.parametrize('sizes, window', LARGER.values(), ids=LARGER)
def test_tiled_equals_plain_in_fp32(sizes, window, backend, sequential, shifted):
    module = larger(window, shifted)
    x = torch.randn(2, *sizes, 32)
    plain = attend(module, x, 'plain', sequential=False)
    tiled = attend(module, x, backend, sequential=sequential)
    assert_equal_in_fp32(module, tiled, plain)


@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize('sizes, window', LARGER.values(), ids=LARGER)
def test_sdpa_equals_plain_where_the_bias_is_frozen(sizes, window, shifted):
    module = larger(window, shifted)
    module.cpb_mlp.requires_grad_(False)
    x = torch.randn(2, *sizes, 32)
    for sequential in (False, True):
        plain = attend(module, x, 'plain', sequential=False)
        assert_equal_in_fp32(module, attend(module, x, 'sdpa', sequential=sequential), plain)


def test_sdpa_refuses_a_gradient_of_the_bias():
    module = larger((4, 4), False)
    module.backend = 'sdpa'
    with pytest.raises(ValueError, match="'sdpa' has no gradient of the position bias: freeze"):
        module(torch.randn(1, 8, 8, 32))
    with torch.no_grad():
        module(torch.randn(1, 8, 8, 32))


@pytest.mark.parametrize('backend', [b for b in ATTENTION_BACKENDS if b != 'triton'])
def test_sequential_changes_nothing(backend):
    module = larger((7, 8), shifted=True)
    module.cpb_mlp.requires_grad_(backend != 'sdpa')
    x = torch.randn(2, 21, 26, 32)
    results = [attend(module, x, backend, sequential=s) for s in (False, True)]
    for a, b in zip(*results):
        assert torch.equal(a, b)


@pytest.mark.parametrize('frozen', ['cpb_mlp', 'logit_scale', 'qkv', 'proj', 'all'])
def test_partly_frozen(frozen):
    """Only what needs a gradient gets one, and freezing does not change the others."""
    module = larger((4, 4), shifted=True)
    x = torch.randn(1, 9, 10, 32)
    everything = dict(
        zip(['out', 'x', *dict(module.named_parameters())], attend(module, x, 'tiled'))
    )
    for name, param in module.named_parameters():
        param.requires_grad_(frozen != 'all' and not name.startswith(frozen))
    names = ['out', 'x', *(n for n, p in module.named_parameters() if p.requires_grad)]
    for name, grad in zip(names, attend(module, x, 'tiled'), strict=True):
        assert_close(grad, everything[name], msg=lambda m, n=name: f'{n}: {m}')


@pytest.mark.parametrize('sequential', [False, True])
def test_nothing_as_large_as_the_logits_of_a_window_exists(sequential):
    """64 x 64 tokens, 2 heads: N x N of one window and head is 16 M elements at window 64.

    The hidden layer of the bias, (2w-1)^2 x 512, is narrow here because it would dominate.
    """
    largest = {}
    for window in (8, 16, 32, 64):
        module = randomized(WindowAttention(32, 2, (window, window), (8, 8), True, sequential))
        module.cpb_mlp = LogCPB(2, (8, 8), hidden_dims=16)
        x = torch.randn(1, 64, 64, 32, requires_grad=True)
        with LargestTensor(module) as mode:
            module(x).sum().backward()
        largest[window] = mode.num_bytes // 4
    assert largest[64] < 64**4 / 8
    assert max(largest[8], largest[16]) <= tile_sizes.BACKWARD_TILE['cpu']
    assert largest[32] == 2 * 32**4 <= tile_sizes.WHOLE_BIAS['cpu']  # the bias of both heads


def test_what_is_kept_hardly_grows_with_the_window():
    x = torch.randn(1, 3, 256, 256)
    kept = {w: kept_bytes(tiny(window_size=w), x) for w in (4, 8, 16, 32)}
    assert max(kept.values()) < 1.3 * min(kept.values()), kept


def test_sequential_and_checkpointing_keep_less_per_stage():
    x = torch.randn(1, 3, 128, 128)
    settings = {
        'all': dict(),
        'sequential in stage 1': dict(sequential_attention=[True, False, False, False]),
        'sequential': dict(sequential_attention=True),
        'checkpointing in stage 1': dict(with_cp=[True, False, False, False]),
        'checkpointing': dict(with_cp=True),
    }
    kept = {name: kept_bytes(tiny(**kwargs), x) for name, kwargs in settings.items()}
    assert kept['all'] > kept['sequential in stage 1'] > kept['sequential']
    assert kept['all'] > kept['checkpointing in stage 1'] > kept['checkpointing']
    # Stage 1 has 32 x 32 tokens of 8 channels: q, k and v of two blocks in fp32.
    assert kept['all'] - kept['sequential in stage 1'] == 2 * 32 * 32 * 24 * 4
    # With checkpointing, a block keeps only its input of twelve maps of 32 x 32 x 8.
    saved = kept['all'] - kept['checkpointing in stage 1']
    assert saved == pytest.approx(2 * 11 * 32 * 32 * 8 * 4, rel=0.1)


@pytest.mark.parametrize('name', ['with_cp', 'sequential_attention'])
@pytest.mark.parametrize('value', [[True, False], 1, [1, 0, 0, 0], 'yes'])
def test_settings_per_stage_are_checked(name, value):
    with pytest.raises(ValueError, match=f'{name}=.* must be True, False or a list of them for 4'):
        tiny(**{name: value})


def test_unknown_backend_is_named():
    with pytest.raises(ValueError, match=r"attention_backend='flash' must be one of \('auto', "):
        tiny(attention_backend='flash')


@pytest.mark.parametrize('max_tokens', [1, 5, 40, 10**6])
@pytest.mark.parametrize('sizes, window', LARGER.values(), ids=LARGER)
def test_groups_hold_each_token_once_and_no_more_than_asked(sizes, window, max_tokens):
    layouts = axis_layouts(sizes, window, shifted=True)
    padded = [size + layout.pad for size, layout in zip(sizes, layouts)]
    seen = torch.zeros(2, *padded, 1, dtype=torch.int64)
    for group in groups(2, layouts, max_tokens):
        tokens = group.read(seen)
        assert tokens.shape[1] == math.prod(group.window_size)
        assert tokens[..., 0].numel() <= max_tokens or len(tokens) == 1
        group.write(tokens + 1, seen)
    assert (seen == 1).all()


def test_tiles_of_the_bias_join_to_the_plain_bias():
    """Element (q, k) is the bias of offset q - k, read from the table by loops."""
    window = (3, 2, 4)
    table = torch.randn(2, 5, 3, 7)
    tokens = list(itertools.product(*map(range, window)))
    expected = torch.stack(
        [
            torch.stack([table[:, a - d + 2, b - e + 1, c - f + 3] for d, e, f in tokens], 1)
            for a, b, c in tokens
        ],
        1,
    )
    lines = bias_lines(table, window)
    for rows in (1, 4, 9, 24, 100):
        tiles = list(bias_tiles(lines, window, rows))
        assert [i for queries, _ in tiles for i in range(24)[queries]] == list(range(24))
        assert torch.equal(torch.cat([bias for _, bias in tiles], 1), expected)


@pytest.mark.parametrize('dtype, rounded', [(torch.bfloat16, 0.03), (torch.float16, 0.003)])
def test_softmax_of_half_precision_is_fp32(dtype, rounded):
    """At the largest scale, where rounding logits too would cost more than `rounded`."""
    module = randomized(WindowAttention(32, 2, (8, 8), (8, 8)))
    with torch.no_grad():
        module.logit_scale.fill_(10)
        module.proj.weight.copy_(torch.eye(32))
        module.proj.bias.zero_()
    module.qkv.weight.data = module.qkv.weight.to(dtype).float()
    x = torch.randn(1, 8, 8, 32).to(dtype).float()
    with torch.no_grad(), torch.autocast('cpu', dtype):
        out = module(x).float()[0].flatten(0, 1)
    bias = torch.cat([module.q_bias, torch.zeros(32), module.v_bias])
    qkv = F.linear(x, module.qkv.weight, bias.to(dtype).float()).to(dtype).double()
    q, k, v = qkv.view(64, 3, 2, 16).permute(1, 2, 0, 3).detach()
    q, k = (F.normalize(q, dim=-1) * 100).to(dtype), F.normalize(k, dim=-1).to(dtype)
    table = module.cpb_mlp((8, 8)).detach().double()
    logits = q.double() @ k.double().mT + gather_bias(table, (8, 8))

    def error(logits: torch.Tensor) -> float:
        expected = (logits.softmax(-1) @ v).transpose(0, 1).flatten(1)
        return (out - expected).abs().max().item() / v.abs().max().item()

    assert error(logits) < rounded / 3
    assert error(logits.to(dtype).double()) > rounded


@pytest.mark.parametrize('whole', [0, 1 << 22], ids=['lines', 'heads'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_memory_that_is_used_again_is_written_first(dtype, whole, monkeypatch):
    """Deterministic algorithms fill new memory with NaN; sums must not start from it."""
    monkeypatch.setitem(tile_sizes.WHOLE_BIAS, 'cpu', whole)
    monkeypatch.setitem(tile_sizes.BACKWARD_TILE, 'cpu', 16)
    model = tiny(window_size=4)
    image = torch.randn(1, 3, 60, 72)

    def gradients() -> list[torch.Tensor]:
        with torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
            maps = model(image)
        return torch.autograd.grad(sum(m.float().sum() for m in maps), [*model.parameters()])

    expected = gradients()
    torch.use_deterministic_algorithms(True)
    try:
        found = gradients()
    finally:
        torch.use_deterministic_algorithms(False)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('backend', ['tiled', 'plain'])
def test_bf16_gradients_are_close_to_fp32(backend):
    """To 5 %, median of nine inputs: terms of the gradient of the scale may cancel in one."""
    module = larger((8, 8), shifted=True)
    errors = []
    for _ in range(9):
        x = torch.randn(1, 20, 28, 32)
        exact = attend(module, x, backend)
        with torch.autocast('cpu', torch.bfloat16):
            low = attend(module, x, backend)
        errors.append([float((a - b).norm() / b.norm()) for a, b in zip(low, exact)])
    names = ['out', 'x', *dict(module.named_parameters())]
    medians = {name: statistics.median(found) for name, found in zip(names, zip(*errors))}
    assert max(medians.values()) < 0.05, medians


def test_hidden_layer_of_the_bias_is_not_kept():
    module = larger((16, 16), shifted=False)
    x = torch.randn(1, 16, 16, 32)
    kept = kept_bytes(module, x)
    assert kept < 31 * 31 * 512 * 4


def test_trains_compiled_in_one_graph():
    torch._dynamo.reset()
    model = tiny()
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    image = torch.randn(1, 3, 67, 40)
    results = []
    for run in (model, compiled):
        model.zero_grad()
        outs = run(image)
        sum(o.square().sum() for o in outs).backward()
        results.append([*outs, *(p.grad.clone() for p in model.parameters())])
    for a, b in zip(*results):
        assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_mlp_in_chunks_equals_its_layers(dtype, monkeypatch):
    monkeypatch.setitem(tile_sizes.HIDDEN, 'cpu', 32 * 5)
    mlp = randomized(Mlp(8)).to(dtype)
    x = torch.randn(2, 6, 8, 8, dtype=dtype, requires_grad=True)
    weight = torch.randn(2, 6, 8, 8, dtype=dtype)

    def run() -> list:
        out = mlp(x)
        return [out, *torch.autograd.grad((out * weight).sum(), [x, *mlp.parameters()])]

    chunked = run()
    with torch.no_grad(), LargestTensor(mlp) as largest:
        assert_close(mlp(x), chunked[0])
    assert math.prod(largest.shape) <= max(32 * 5, x.numel())  # not the hidden layer, 96 x 32
    calls = []
    mlp.fc2.register_forward_hook(lambda *args: calls.append(args[0]))
    tolerance = {} if dtype == torch.float64 else dict(atol=0.05, rtol=0.05)
    for a, b in zip(chunked, run()):
        assert_close(a, b, **tolerance)
    assert calls == [mlp.fc2]


@pytest.mark.cuda
@pytest.mark.parametrize('sizes, window', LARGER.values(), ids=LARGER)
@pytest.mark.parametrize('backend', ['tiled', 'sdpa', 'triton'])
def test_backends_equal_plain_on_cuda(sizes, window, backend, monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(torch.backends.cuda.matmul, 'allow_tf32', False)
    module = larger(window, shifted=True).cuda()
    module.cpb_mlp.requires_grad_(backend != 'sdpa')
    x = torch.randn(2, *sizes, 32, device='cuda')
    assert_equal_in_fp32(module, attend(module, x, backend), attend(module, x, 'plain'))


@pytest.mark.cuda
@pytest.mark.parametrize('backend', ['tiled', 'triton'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_close_to_fp32_on_cuda(backend, dtype):
    torch._dynamo.reset()
    module = larger((16, 16), shifted=True).cuda()
    x = torch.randn(2, 40, 33, 32, device='cuda')
    exact = attend(module, x, 'plain')
    with torch.autocast('cuda', dtype):
        low = attend(module, x, backend)
    for a, b in zip(low, exact):
        assert (a.float() - b).norm() < 0.05 * b.norm()


@pytest.mark.cuda
def test_memory_hardly_grows_with_the_window_on_cuda():
    peaks = {}
    for window in (8, 16, 32):
        model = tiny(window_size=window).cuda()
        x = torch.randn(1, 3, 512, 512, device='cuda')
        torch.cuda.reset_peak_memory_stats()
        sum(o.sum() for o in model(x)).backward()
        peaks[window] = torch.cuda.max_memory_allocated()
    assert max(peaks.values()) < 1.3 * min(peaks.values())
