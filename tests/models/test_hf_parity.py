"""The backbone against transformers' Swinv2Backbone with the same weights.

Compared where the conventions agree. HF derives windows and shifts from the configured image size,
has one side for both axes, and pads every map to whole windows, even those that fit into one
window. So the image has the configured size, and windows divide every map or are clamped to it.
HF's Backbone has no output norms: ours are removed here.
"""

from __future__ import annotations

import pytest
import torch
from tiny_models import randomized
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2

transformers = pytest.importorskip('transformers')

ARCH = dict(embed_dims=24, depths=(2, 2, 4, 2), num_heads=(2, 3, 4, 8))
NAMES = [  # ours -> HF, within a block
    ('attn.logit_scale', 'attention.self.logit_scale'),
    ('attn.q_bias', 'attention.self.query.bias'),
    ('attn.v_bias', 'attention.self.value.bias'),
    ('attn.cpb_mlp', 'attention.self.continuous_position_bias_mlp'),
    ('attn.proj', 'attention.output.dense'),
    ('norm1', 'layernorm_before'),
    ('norm2', 'layernorm_after'),
    ('mlp.fc1', 'intermediate.dense'),
    ('mlp.fc2', 'output.dense'),
]


def hf_name(name: str) -> str:
    for ours, theirs in NAMES:
        name = name.replace(ours, theirs)
    name = name.replace('patch_embed.norm', 'embeddings.norm')
    name = name.replace('patch_embed.proj', 'embeddings.patch_embeddings.projection')
    return name.replace('layers.', 'encoder.layers.')


def hf_tensors(tensors: dict) -> dict:
    """Rename, and split the rows of qkv into query, key and value."""
    out = {}
    for name, tensor in tensors.items():
        if name.endswith('qkv.weight'):
            base = hf_name(name).replace('attn.qkv.weight', 'attention.self')
            for part, rows in zip(('query', 'key', 'value'), tensor.chunk(3)):
                out[f'{base}.{part}.weight'] = rows
        else:
            out[hf_name(name)] = tensor
    return out


def pair(image_size: int, window: int, pretrained_windows: list, dtype: torch.dtype):
    torch.manual_seed(0)
    ours = SwinTransformerV2(
        ARCH, window_size=window, pretrained_window_sizes=pretrained_windows, drop_path_rate=0.0
    )
    randomized(ours)
    for i in range(4):
        setattr(ours, f'norm{i}', torch.nn.Identity())
    config = transformers.Swinv2Config(
        image_size=image_size,
        embed_dim=24,
        depths=list(ARCH['depths']),
        num_heads=list(ARCH['num_heads']),
        window_size=window,
        pretrained_window_sizes=pretrained_windows,
        drop_path_rate=0.0,
        out_features=[f'stage{i}' for i in range(1, 5)],
    )
    theirs = transformers.Swinv2Backbone(config)
    result = theirs.load_state_dict(hf_tensors(dict(ours.named_parameters())), strict=False)
    assert not result.unexpected_keys
    assert all('relative' in key for key in result.missing_keys)
    ours, theirs = ours.to(dtype).eval(), theirs.to(dtype).eval()
    if dtype == torch.float64:
        _compute_tables_in_fp64(theirs, pretrained_windows)
    return ours, theirs


def _compute_tables_in_fp64(theirs: torch.nn.Module, pretrained_windows: list) -> None:
    """HF computes its coordinates in fp32; their rounding alone is 1e-8."""
    for stage, pretrained_window in zip(theirs.encoder.layers, pretrained_windows):
        for block in stage.blocks:
            module = block.attention.self
            side = torch.arange(module.relative_coords_table.shape[1], dtype=torch.float64)
            side = (side - side.mean()) / (pretrained_window - 1) * 8
            side = side.sign() * torch.log2(side.abs() + 1) / 3
            table = torch.stack(torch.meshgrid(side, side, indexing='ij'), dim=-1)[None]
            assert_close(table.float(), module.relative_coords_table.float())
            module.relative_coords_table = table


@pytest.mark.parametrize(
    'image_size, window, pretrained_windows',
    [(64, 4, [4, 4, 4, 2]), (128, 8, [8, 8, 8, 4]), (64, 8, [6, 6, 6, 3])],
    ids=['window 4', 'window 8', 'transferred, clamped'],
)
@pytest.mark.parametrize('dtype, tol', [(torch.float32, 1e-4), (torch.float64, 1e-10)], ids=str)
def test_maps_and_gradients_equal(image_size, window, pretrained_windows, dtype, tol):
    ours, theirs = pair(image_size, window, pretrained_windows, dtype)
    image = torch.randn(2, 3, image_size, image_size, dtype=dtype)
    maps, references = ours(image), theirs(image).feature_maps
    for ours_map, reference in zip(maps, references, strict=True):
        assert_close(ours_map, reference, atol=tol, rtol=tol)
    weights = [torch.randn_like(m) for m in maps]
    for outs in (maps, references):
        sum((o * w).mean() for o, w in zip(outs, weights)).backward()
    grads = hf_tensors({name: p.grad for name, p in ours.named_parameters()})
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    for name, grad in grads.items():
        assert_close(grad, expected[name], atol=tol, rtol=tol, msg=lambda m, n=name: f'{n}: {m}')


def test_each_block_equal_in_fp32():
    ours, theirs = pair(64, 4, [4, 4, 4, 2], torch.float32)
    for stage, (mine, other) in enumerate(zip(ours.layers, theirs.encoder.layers)):
        side = 16 >> stage
        x = torch.randn(2, side, side, 24 << stage)
        for block, reference in zip(mine.blocks, other.blocks):
            expected = reference(x.flatten(1, 2), (side, side))[0]
            assert_close(block(x).flatten(1, 2), expected, atol=1e-5, rtol=1e-5)
