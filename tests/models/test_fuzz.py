"""Generated sizes, windows, clips and arguments: maps equal plain loops, or a clear error."""

from __future__ import annotations

import math
from typing import Any

import oracle
import torch
from fuzzing import amounts, for_all
from hypothesis import strategies as st
from tiny_models import randomized
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2, VideoSwinTransformerV2

ARCH = dict(embed_dims=4, depths=(2, 2), num_heads=(1, 2))
CLASSES = {2: SwinTransformerV2, 3: VideoSwinTransformerV2}
MAX_TOKENS = 40  # in maps that are compared with the plain loops


@st.composite
def backbones(draw: st.DrawFn) -> dict[str, Any]:
    """Settings of a small backbone, and an input size that may be too large for the loops."""
    rank = draw(st.sampled_from([2, 3]))

    def axes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    def windows() -> Any:
        stage = draw(st.sampled_from(['int', 'axes', 'stages']))
        if stage == 'int':
            return draw(st.integers(1, 5))
        return axes(1, 5) if stage == 'axes' else [axes(1, 5), draw(st.integers(1, 5))]

    settings = dict(patch_size=axes(1, 4), window_size=windows())
    if draw(st.booleans()):
        settings['pretrained_window_sizes'] = windows()
    settings['attention_backend'] = draw(st.sampled_from(['auto', 'tiled', 'sdpa', 'plain']))
    settings['arch'] = ARCH | dict(extra_norm_every=draw(st.integers(0, 2)))
    longest = 40 if rank == 2 else 15
    longest = draw(st.sampled_from([8, longest]))
    return dict(
        rank=rank,
        size=axes(1, longest),
        companions=draw(st.lists(st.sampled_from([0.0, 1e6, math.nan]), max_size=2)),
        settings=settings,
    )


def check_maps(case: dict[str, Any]) -> None:
    """An image or clip in a batch with others, which may be NaN."""
    rank, size, settings = case['rank'], case['size'], case['settings']
    torch.manual_seed(0)
    model = randomized(CLASSES[rank](**settings, drop_path_rate=0.0, out_indices=(0, 1))).double()
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    others = [torch.full_like(x, value) for value in case['companions']]
    with torch.no_grad():
        maps = [out[-1] for out in model(torch.cat([*others, x]))]
        alone = [out[0] for out in model(x)]
    counts = [math.ceil(s / p) for s, p in zip(size, settings['patch_size'])]
    halved = [*counts[:-2], *(math.ceil(c / 2) for c in counts[-2:])]
    assert [m.shape for m in maps] == [(4, *counts), (8, *halved)]
    assert all(m.isfinite().all() for m in maps)
    expected = alone
    if math.prod(counts) <= MAX_TOKENS:
        windows = [[block.attn.window_size for block in stage.blocks] for stage in model.layers]
        params = dict(model.named_parameters())
        with torch.no_grad():
            expected = oracle.backbone(
                x[0],
                params,
                ARCH['depths'],
                ARCH['num_heads'],
                settings['patch_size'],
                windows,
                model.pretrained_window_sizes,
            )
    assert_close(maps, list(expected), atol=1e-9, rtol=1e-9)


@amounts(25, 1500)
def test_any_size_window_patch_and_batch_gives_the_maps_of_plain_loops(examples):
    for_all(backbones(), check_maps, examples)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.sampled_from([0.5, -1.0, 2.0, math.nan, math.inf]),
    st.text(max_size=3),
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=2),
    ),
    max_leaves=6,
)
ARGUMENTS = (
    'arch',
    'patch_size',
    'window_size',
    'pretrained_window_sizes',
    'drop_path_rate',
    'out_indices',
    'frozen_stages',
    'with_cp',
    'sequential_attention',
    'attention_backend',
    'in_channels',
)


def check_argument(case: tuple[int, str, Any]) -> None:
    """A backbone that runs, or an error that names the argument."""
    rank, name, value = case
    try:
        with torch.device('meta'):
            model = CLASSES[rank](**(dict(arch=ARCH, out_indices=(0, 1)) | {name: value}))
    except ValueError as error:
        assert name in str(error).lower(), error
        return
    channels = model.patch_embed.proj.in_channels
    model(torch.zeros(1, channels, *[3] * rank, device='meta'))


@amounts(400, 20000)
def test_a_wrong_argument_is_named_whatever_it_is(examples):
    ranks = st.sampled_from([2, 3])
    field = st.tuples(st.sampled_from([*ARCH, 'extra_norm_every']), JUNK)
    archs = field.map(lambda pair: ARCH | dict([pair]))
    cases = st.one_of(
        st.tuples(ranks, st.sampled_from(ARGUMENTS), JUNK),
        st.tuples(ranks, st.just('arch'), archs),
    )
    for_all(cases, check_argument, examples)


def check_input(shape: tuple[int, ...]) -> None:
    """Maps, or an error that states the shape."""
    for rank, kind in CLASSES.items():
        with torch.device('meta'):
            model = kind(ARCH, out_indices=(0, 1), in_channels=2)
        try:
            model(torch.zeros(shape, device='meta'))
        except ValueError as error:
            assert f'takes {rank + 2} axes' in str(error)
            assert str(shape) in str(error)
        else:
            assert len(shape) == rank + 2 and shape[1] == 2 and min(shape[2:]) > 0


@amounts(100, 3000)
def test_a_wrong_input_is_named(examples):
    for_all(st.lists(st.integers(0, 3), max_size=6).map(tuple), check_input, examples)
