"""The parts of V1, V2 and the ablations against plain loops, in all attention backends."""

from __future__ import annotations

import itertools

import oracle
import pytest
import torch
from tiny_models import assert_equals_oracle, randomized
from torch.testing import assert_close
from window_cases import randomized as with_large_weights

from swinv2_dense import (
    SwinTransformerV1,
    SwinTransformerV2,
    VideoSwinTransformerV1,
    VideoSwinTransformerV2,
)
from swinv2_dense.models import tile_sizes
from swinv2_dense.models.backbone import POSITION_BIASES
from swinv2_dense.models.blocks import BLOCKS
from swinv2_dense.models.position_bias import LinearCPB
from swinv2_dense.models.window_attention import ATTENTIONS

KINDS = list(itertools.product(POSITION_BIASES, ATTENTIONS))
SIZES = {  # map, window: padded and shifted, clamped, three axes
    'padded': ((6, 7), (4, 4)),
    'clamped': ((3, 9), (4, 4)),
    'video': ((3, 5, 4), (2, 4, 2)),
}
SMALL = dict(embed_dims=8, depths=(2, 1), num_heads=(2, 2))


def attention(kind: tuple, window: tuple, **settings) -> torch.nn.Module:
    bias, similarity = kind
    module = ATTENTIONS[similarity](
        6, 2, window, window, position_bias=POSITION_BIASES[bias], **settings
    )
    return with_large_weights(module)


@pytest.mark.parametrize('sizes, window', SIZES.values(), ids=SIZES)
@pytest.mark.parametrize('kind', KINDS, ids='-'.join)
def test_attention_equals_loops_with_gradients(kind, sizes, window, monkeypatch):
    """Tiled with one line of queries per tile, with and without kept projections, and plain."""
    monkeypatch.setitem(tile_sizes.WHOLE_BIAS, 'cpu', 0)
    monkeypatch.setitem(tile_sizes.GROUP, 'cpu', 180)
    monkeypatch.setitem(tile_sizes.FORWARD_TILE, 'cpu', 1)
    monkeypatch.setitem(tile_sizes.BACKWARD_TILE, 'cpu', 16)
    module = attention(kind, window, shifted=True).double()
    x = torch.randn(1, *sizes, 6, dtype=torch.float64, requires_grad=True)
    params = dict(module.named_parameters())
    weight = torch.randn(sizes + (6,), dtype=torch.float64)
    expected = oracle.window_attention(x[0], params, 2, window, window, True)
    inputs = [x, *params.values()]
    references = torch.autograd.grad((expected * weight).sum(), inputs, allow_unused=True)
    for backend, sequential in (('tiled', False), ('tiled', True), ('plain', False)):
        module.backend, module.sequential = backend, sequential
        out = module(x)
        assert_close(out[0], expected, atol=1e-10, rtol=1e-10)
        grads = torch.autograd.grad((out[0] * weight).sum(), inputs)
        for name, grad, reference in zip(['x', *params], grads, references):
            assert_close(grad, reference, atol=1e-9, rtol=1e-9, msg=lambda m, n=name: f'{n}: {m}')


def results(module: torch.nn.Module, x: torch.Tensor, backend: str, bf16: bool) -> list:
    """The output and the gradients of all parameters."""
    module.backend = backend
    module.zero_grad()
    with torch.autocast('cpu', torch.bfloat16, enabled=bf16):
        out = module(x)
    out.float().square().sum().backward()
    return [out.detach().float(), *(p.grad for p in module.parameters())]


@pytest.mark.parametrize('kind', KINDS, ids='-'.join)
def test_tiled_is_as_exact_as_plain(kind):
    """In fp32 they are equal; in bf16 both differ from fp32, tiled not more than plain."""
    module = attention(kind, (4, 4), shifted=True)
    torch.manual_seed(0)
    x = torch.randn(2, 9, 13, 6)
    exact = results(module, x, 'plain', bf16=False)
    for a, b in zip(results(module, x, 'tiled', bf16=False), exact):
        assert_close(a, b, atol=1e-5 * max(b.abs().max().item(), 1), rtol=0)
    tiled, plain = (results(module, x, backend, bf16=True) for backend in ('tiled', 'plain'))
    names = ['out', *(name for name, _ in module.named_parameters())]
    for name, a, b, reference in zip(names, tiled, plain, exact):
        if name == 'logit_scale':  # a sum of terms of both signs, whose error is chance
            continue
        limit = 1.5 * (b - reference).norm() + 5e-3 * reference.norm()
        assert (a - reference).norm() <= limit


def test_sdpa_equals_plain_without_gradients():
    module = attention(('table', 'dot'), (4, 4), shifted=True)
    x = torch.randn(1, 9, 13, 6)
    outs = {}
    for module.backend in ('plain', 'sdpa', 'tiled'):
        with torch.no_grad():
            outs[module.backend] = module(x)
    for out in outs.values():
        assert_close(out, outs['plain'], atol=1e-5, rtol=1e-5)


def test_compiled_dot_products_equal_eager_ones():
    """The custom operators pass the kind of product on, forward and backward."""
    from swinv2_dense.models.tiled_attention import compiled_attention

    module = attention(('table', 'dot'), (4, 4), shifted=True).double()
    x = torch.randn(1, 6, 7, 6, dtype=torch.float64, requires_grad=True)
    expected = module(x)
    parameters = [x, module.qkv.weight, module.qkv.bias, module.position_bias.weight]
    references = torch.autograd.grad(expected.square().sum(), parameters)
    scale = torch.full((2, 1, 1), 3**-0.5, dtype=torch.float64)
    out, _ = compiled_attention(
        x, module.qkv.weight, module.qkv.bias, scale, module.position_bias((4, 4)), [4, 4], True,
        'dot', 0.0, True,
    )  # fmt: skip
    out = module.proj(out)
    assert_close(out, expected)
    for grad, reference in zip(torch.autograd.grad(out.square().sum(), parameters), references):
        assert_close(grad, reference)


@pytest.mark.parametrize('block', BLOCKS)
@pytest.mark.parametrize('kind', [('log', 'cosine'), ('linear', 'dot')], ids='-'.join)
def test_backbones_equal_loops(kind, block):
    """The columns of Table 7, with the extra norm of H and G; epsilons that matter."""
    torch.manual_seed(0)
    arch, eps = dict(SMALL, extra_norm_every=2), dict(norm_eps=0.05, cosine_eps=0.3)
    parts = dict(position_bias=kind[0], similarity=kind[1], block=block, **eps)
    model = SwinTransformerV2(arch, window_size=3, out_indices=(0, 1), drop_path_rate=0, **parts)
    assert_equals_oracle(with_large_weights(model).double(), arch, (20, 27), (4, 4), **eps)


@pytest.mark.parametrize(
    'kind, window, size, patch',
    [
        (SwinTransformerV1, (3, 3), (20, 27), (4, 4)),
        (VideoSwinTransformerV1, (2, 3, 3), (5, 20, 17), (2, 4, 4)),
    ],
    ids=['images', 'video'],
)
def test_v1_equals_loops(kind, window, size, patch):
    """Pre-norm, a table, dot products, and the norm of patch merging before its reduction."""
    torch.manual_seed(0)
    settings = dict(window_size=window, out_indices=(0, 1), drop_path_rate=0, norm_eps=0.05)
    model = with_large_weights(kind(SMALL, **settings)).double()
    assert_equals_oracle(model, SMALL, size, patch, norm_eps=0.05)


def test_linear_coordinates_grow_as_the_paper_says():
    """Section 3.3: from window 8 to 16, linear coordinates need 1.14 times their range more."""
    coords = LinearCPB(1, (8, 8)).coords(16, 8, torch.zeros(1, dtype=torch.float64))
    assert_close(coords[-1].item() - 1, 1.14, atol=5e-3, rtol=0)
    assert coords[15].item() == 0


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(position_bias='cpb'), "position_bias='cpb' is unknown; choose one of log, linear"),
        (dict(similarity='l2'), "similarity='l2' is unknown; choose one of cosine, dot"),
        (dict(block='norm'), "block='norm' is unknown; choose one of res-post-norm, pre-norm"),
        (dict(patch_merging=None), 'patch_merging=None is unknown'),
        (dict(block=['pre-norm']), "block=.'pre-norm'. is unknown"),
        (dict(position_bias='table', pretrained_window_sizes=8), 'pretrained_window_sizes=8'),
        (dict(position_bias='table', global_blocks={1: [0]}), "remove it, or use position_bias='l"),
    ],
)
def test_unknown_names_are_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as error:
        SwinTransformerV2(SMALL, out_indices=(0, 1), **settings)
    assert '\n' not in str(error.value)


def test_res_post_norm_starts_as_the_identity_and_the_others_do_not():
    x = torch.randn(1, 8, 8, 8)
    for block in BLOCKS:
        model = SwinTransformerV2(SMALL, window_size=4, out_indices=(0, 1), block=block)
        out = model.layers[0].blocks[1](x)
        assert torch.equal(out, x) == (block == 'res-post-norm')


@pytest.mark.parametrize('kind', [VideoSwinTransformerV1, VideoSwinTransformerV2])
def test_parts_are_a_choice_of_every_class(kind):
    """The ablations exist for video, too."""
    model = randomized(kind(SMALL, out_indices=(0, 1), window_size=(2, 2, 2), block='sandwich'))
    model(torch.randn(1, 3, 4, 16, 16))[0].sum().backward()
    assert any('pre_norm2' in key for key in model.state_dict())
