"""The backbones: published sizes, plain-loop oracle, shapes, freezing, modes, metadata."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from mmengine.registry import MODELS
from tiny_models import TINY, assert_equals_oracle, randomized, tiny
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2, VideoSwinTransformerV2
from swinv2_dense.arguments import ARCHS

# Section 3.6 and the published checkpoints: the backbone with a final norm and a 1000-class head.
PUBLISHED = dict(
    t=28_347_154, s=49_728_418, b=87_918_816, l=196_739_932, h=658_036_370, g=3_001_940_680
)


@pytest.mark.parametrize('arch, published', PUBLISHED.items())
def test_parameter_count_is_the_published_one(arch, published):
    with torch.device('meta'):
        model = SwinTransformerV2(arch)
    extra_norms = ('norm0.', 'norm1.', 'norm2.')
    count = sum(p.numel() for n, p in model.named_parameters() if not n.startswith(extra_norms))
    head = model.num_features[-1] * 1000 + 1000
    assert count + head == published
    assert all(p.is_meta for p in model.parameters())
    assert not list(model.buffers())


def test_video_builds_on_meta_with_one_more_log_cpb_column():
    with torch.device('meta'):
        image, video = SwinTransformerV2('b'), VideoSwinTransformerV2('b', out_indices=(0, 1, 2, 3))
    blocks = sum(ARCHS['b'].depths)
    columns = blocks * 512 + 3 * 16 * 128  # log-CPB input, second frame of a patch
    counts = [sum(p.numel() for p in m.parameters()) for m in (image, video)]
    assert counts[1] - counts[0] == columns


@pytest.mark.parametrize('arch, stage3', [('h', [5, 11, 17]), ('g', [5, 11, 17, 23, 29, 35, 41])])
def test_extra_norm_after_every_sixth_block(arch, stage3):
    with torch.device('meta'):
        model = SwinTransformerV2(arch)
    found = {
        (s, b)
        for s, stage in enumerate(model.layers)
        for b, block in enumerate(stage.blocks)
        if isinstance(block.norm3, torch.nn.LayerNorm)
    }
    assert found == {(2, b) for b in stage3}


@pytest.mark.parametrize(
    'cls, arch, kwargs, size, patch',
    [
        (SwinTransformerV2, TINY, {}, (37, 54), (4, 4)),
        (
            SwinTransformerV2,
            TINY | dict(extra_norm_every=2),
            dict(window_size=[4, 3, 2, 4]),
            (45, 30),
            (4, 4),
        ),
        (
            SwinTransformerV2,
            TINY,
            dict(window_size=(3, 4), pretrained_window_sizes=[2, 4, 3, 8]),
            (26, 41),
            (4, 4),
        ),
        (VideoSwinTransformerV2, TINY, dict(window_size=(2, 3, 2)), (5, 22, 19), (2, 4, 4)),
    ],
    ids=['2d', 'extra norm, window per stage', 'pretrained windows', '3d'],
)
def test_equals_oracle_with_gradients(cls, arch, kwargs, size, patch):
    model = tiny(cls, arch=arch, out_indices=(0, 1, 2, 3), **kwargs).double()
    assert_equals_oracle(model, arch, size, patch)


def test_global_blocks_equal_an_oracle_whose_window_is_the_map():
    model = tiny(global_blocks={1: [1], 3: [0, 1]}, window_size=[4, 2, 4, 1]).double()
    whole = [[b.attn.window_size > (99, 99) for b in stage.blocks] for stage in model.layers]
    assert whole == [[False, False], [False, True], [False], [True, True]]
    assert_equals_oracle(model, TINY, (37, 54), (4, 4))


@pytest.mark.parametrize('backend', ['tiled', 'plain'])
def test_epsilons_equal_those_of_the_oracle(backend):
    eps = dict(norm_eps=0.05, cosine_eps=0.3)  # large enough to matter
    model = tiny(attention_backend=backend, **eps).double()
    assert_equals_oracle(model, TINY, (26, 41), (4, 4), **eps)
    with pytest.raises(AssertionError):
        assert_equals_oracle(model, TINY, (26, 41), (4, 4), norm_eps=0.05)


@pytest.mark.parametrize(
    'value, said',
    [
        ([0, 1], 'must be a dict'),
        ({4: [0]}, 'no block 0 in stage 4'),
        ({3: [2]}, 'no block 2 in stage 3'),
        ({3: 1}, 'must be a list'),
    ],
)
def test_wrong_global_blocks_are_named(value, said):
    with pytest.raises(ValueError, match=said):
        tiny(global_blocks=value)


@pytest.mark.parametrize('size', [(1, 1), (5, 3), (31, 97), (64, 64), (33, 160)])
def test_any_size_gives_ceil_maps_alone_in_a_batch_and_in_any_order(size):
    model = tiny().eval()
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        alone = model(image[:1])
        model(torch.randn(1, 3, 70, 24))
        batch = model(image)
        again = model(image[:1])
    assert [o.shape for o in alone] == [
        (1, 8 * 2**i, math.ceil(size[0] / (4 * 2**i)), math.ceil(size[1] / (4 * 2**i)))
        for i in range(4)
    ]
    for first, second, both in zip(alone, again, batch):
        assert torch.equal(first, second)
        assert_close(both[:1], first, atol=1e-5, rtol=1e-5)


def test_pads_are_zero_in_every_block():
    """Padding must not carry values from one block to the next."""
    model = tiny(window_size=4, arch=TINY | dict(depths=(4, 1, 1, 1))).eval()
    pads = []
    for block in model.layers[0].blocks:
        block.attn.register_forward_pre_hook(lambda m, args: pads.append(args[0].shape[1:3]))
    model(torch.randn(1, 3, 20, 28))
    assert pads == [(5, 7)] * 4


def test_block_starts_as_the_identity():
    model = SwinTransformerV2(TINY, drop_path_rate=0.0)
    x = torch.randn(2, 9, 7, 8)
    assert torch.equal(model.layers[0].blocks[0](x), x)


def test_drop_path_rates_rise_linearly_and_drop_whole_branches():
    model = SwinTransformerV2(dict(TINY, depths=(2, 2, 6, 2)), drop_path_rate=0.3)
    rates = [b.drop_path.rate for stage in model.layers for b in stage.blocks]
    assert_close(torch.tensor(rates), torch.linspace(0, 0.3, 12))
    randomized(model)
    block = model.layers[0].blocks[0].train()
    block.drop_path.rate = 0.5
    x = torch.randn(64, 4, 4, 8)
    out = block(x)
    dropped = (out == x).flatten(1).all(1)
    assert 0 < dropped.sum() < 40  # both branches dropped: probability 1/4
    block.mlp.fc2.register_forward_hook(lambda *args: torch.zeros_like(args[-1]))
    block.norm2.bias.data.zero_()
    kept = ~(block(x) == x).flatten(1).all(1)
    torch.manual_seed(0)
    draw = block(x)[kept]
    branch = block.norm1(block.attn(x))[kept]
    is_kept = ~(draw == x[kept]).flatten(1).all(1)
    assert_close(draw[is_kept], (x[kept] + 2 * branch)[is_kept])


def test_checkpointing_changes_nothing():
    image = torch.randn(2, 3, 40, 52)
    results = []
    for with_cp in (False, True):
        model = tiny(drop_path_rate=0.4, with_cp=with_cp)
        torch.manual_seed(3)
        outs = model(image)
        sum(o.square().sum() for o in outs).backward()
        results.append([*outs, *(p.grad.clone() for p in model.parameters())])
    for plain, recomputed in zip(*results):
        assert torch.equal(plain, recomputed)


@pytest.mark.parametrize('with_cp', [False, True])
def test_every_parameter_gets_a_gradient(with_cp):
    """DDP needs no find_unused_parameters, whatever is returned, frozen or clamped."""
    for kwargs in (dict(), dict(out_indices=(1,)), dict(frozen_stages=2)):
        model = tiny(with_cp=with_cp, **kwargs)
        sum(o.sum() for o in model(torch.randn(1, 3, 33, 5))).backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_later_stages_are_not_built():
    model = tiny(out_indices=(0, 1))
    assert len(model.layers) == 2
    assert model.layers[1].downsample is None
    assert model.out_channels == [8, 16]


@pytest.mark.parametrize('frozen', [-1, 0, 1, 3, 4])
def test_frozen_stages_are_frozen_before_and_after_train(frozen):
    model = tiny(frozen_stages=frozen, drop_path_rate=0.5)
    parts = [f'layers.{i}.' for i in range(max(frozen, 0))]
    parts += [f'norm{i}.' for i in range(max(frozen, 0))] + ['patch_embed.'] * (frozen >= 0)
    for _ in range(2):
        for name, param in model.named_parameters():
            assert param.requires_grad != name.startswith(tuple(parts)), name
        model.train()
    assert [stage.training for stage in model.layers] == [i >= frozen for i in range(4)]


def test_norm_eval():
    model = tiny(norm_eval=True).train()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert norms and not any(m.training for m in norms)
    assert model.layers[0].blocks[0].drop_path.training


@pytest.mark.parametrize(
    'window_size, expected',
    [
        (6, [(6, 6)] * 4),
        ((3, 5), [(3, 5)] * 4),
        ([8, 8, 4, 2], [(8, 8), (8, 8), (4, 4), (2, 2)]),
        ([(2, 3), 4, 5, (6, 7)], [(2, 3), (4, 4), (5, 5), (6, 7)]),
    ],
)
def test_window_forms(window_size, expected):
    model = SwinTransformerV2(TINY, window_size=window_size)
    assert [stage.blocks[0].attn.window_size for stage in model.layers] == expected
    assert model.pretrained_window_sizes == expected  # never the clamped window


def test_arguments_after_arch_are_keyword_only():
    for cls in (SwinTransformerV2, VideoSwinTransformerV2):
        with pytest.raises(TypeError, match='positional'):
            cls(TINY, 4)


BAD_ARGUMENTS = {
    'unknown arch': (dict(arch='x'), r"arch='x' is unknown; choose one of t, s, b, l, h, g"),
    'arch key': (dict(arch=dict(embed_dims=8)), 'needs embed_dims, depths and num_heads'),
    'heads': (dict(arch=dict(TINY, num_heads=(3, 2, 2, 4))), r'8 channels in stage 0.*=3 does not'),
    'stages': (dict(arch=dict(TINY, depths=(1, 1))), '2 depths .* but 4 num_heads'),
    'list too short': (
        dict(window_size=[8, 8]),
        r'window_size=\[8, 8\] has 2 entries for 4 stages',
    ),
    'tuple too long': (dict(window_size=(8, 8, 8)), r'\(8, 8, 8\) is not a window'),
    'zero window': (dict(window_size=[8, 8, 8, 0]), '0 is not a window'),
    'zero pretrained window': (
        dict(pretrained_window_sizes=[0] * 4),
        'pretrained_window_sizes=.* 0 is not',
    ),
    'text': (dict(window_size='8'), "'8' is not a window"),
    'out_indices': (dict(out_indices=(0, 4)), r'out_indices=\(0, 4\).*0\.\.3'),
    'order': (dict(out_indices=(2, 1)), 'ascending'),
    'frozen': (dict(frozen_stages=5), r'frozen_stages=5 must be in -1\.\.4'),
    'drop path': (dict(drop_path_rate=1.0), r'drop_path_rate=1\.0 must be'),
}


@pytest.mark.parametrize('kwargs, message', BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SwinTransformerV2(**(dict(arch=TINY) | kwargs))


def test_wrong_input_rank_is_named():
    with pytest.raises(ValueError, match=r'takes 4 axes .* shape \(1, 3, 8, 8, 8\)'):
        tiny()(torch.zeros(1, 3, 8, 8, 8))


def test_registered_in_the_root_registry():
    for scope in (None, 'mmengine'):
        model = MODELS.build(dict(type='SwinTransformerV2', arch=TINY, _scope_=scope))
        assert isinstance(model, SwinTransformerV2)


def test_video_returns_a_tensor_for_one_index():
    clip = torch.randn(1, 3, 3, 20, 33)
    assert tiny(VideoSwinTransformerV2, window_size=2)(clip).shape == (1, 64, 2, 1, 2)
    outs = tiny(VideoSwinTransformerV2, window_size=2, out_indices=(0, 3))(clip)
    assert [o.shape for o in outs] == [(1, 8, 2, 5, 9), (1, 64, 2, 1, 2)]


def test_forward_on_meta_gives_shapes():
    with torch.device('meta'):
        outs = SwinTransformerV2('g', window_size=32)(torch.empty(1, 3, 1536, 1100))
    assert [o.shape[1:] for o in outs] == [
        (512, 384, 275), (1024, 192, 138), (2048, 96, 69), (4096, 48, 35)
    ]  # fmt: skip


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('scale, bound', [(10.0, 3e-2), (100.0, 5e-2)])
def test_autocast_is_close_to_fp32(dtype, scale, bound):
    """3e-2 per map at the initial logit scale, 5e-2 at its maximum, where logits round coarser."""
    torch.manual_seed(0)
    model = randomized(SwinTransformerV2('t', window_size=8, drop_path_rate=0.0)).eval()
    for name, param in model.named_parameters():
        if name.endswith('logit_scale'):
            param.data.fill_(math.log(scale))
    image = torch.randn(1, 3, 150, 204)
    with torch.no_grad():
        exact = model(image)
        with torch.autocast('cpu', dtype):
            rounded = model(image)
    for a, b in zip(exact, rounded):
        assert b.isfinite().all()
        assert ((a - b.float()).norm() / a.norm()).item() < bound


def test_bf16_autocast_trains():
    model = tiny()
    with torch.autocast('cpu', torch.bfloat16):
        loss = sum(o.float().square().mean() for o in model(torch.randn(1, 3, 45, 70)))
    loss.backward()
    assert all(
        p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in model.parameters()
    )


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_low_precision_weights_run(dtype):
    model = tiny().eval()
    image = torch.randn(1, 3, 45, 70)
    with torch.no_grad():
        exact, rounded = model(image), copy.deepcopy(model).to(dtype)(image.to(dtype))
    for a, b in zip(exact, rounded):
        assert b.dtype == dtype
        assert ((a - b.float()).norm() / a.norm()).item() < 0.1


def test_pretrained_windows_travel_in_the_metadata(tmp_path):
    trained = tiny(window_size=8, pretrained_window_sizes=[6, 6, 6, 3])
    torch.save(trained.state_dict(), tmp_path / 'model.pth')
    state = torch.load(tmp_path / 'model.pth', weights_only=True)
    for restored in (copy.deepcopy(tiny(window_size=8)), pickle.loads(pickle.dumps(tiny()))):
        restored.load_state_dict(state, strict=True)
        assert restored.pretrained_window_sizes == [(6, 6)] * 3 + [(3, 3)]
    with pytest.raises(ValueError, match=r'\(4, 4\).* contradicts .*\(6, 6\)'):
        tiny(pretrained_window_sizes=4).load_state_dict(state)


@pytest.mark.parametrize('backend', ['aot_eager', pytest.param('inductor', marks=pytest.mark.slow)])
def test_compiles_whole_and_follows_the_input_size(backend):
    torch._dynamo.reset()
    model = tiny().eval()
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    for size in ((67, 40), (48, 64), (67, 40)):
        image = torch.randn(1, 3, *size)
        with torch.no_grad():
            for out, expected in zip(compiled(image), model(image)):
                assert_close(out, expected, atol=1e-4, rtol=1e-4)
