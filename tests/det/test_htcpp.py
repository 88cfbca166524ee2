"""HTC++: the global attention layer, and parameters as published."""

from __future__ import annotations

import pytest
import torch
from commands import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

pytest.importorskip('mmdet')
from swinv2_dense.det import GlobalAttention  # noqa: E402

CHANNELS = (3, 5, 12)
SWIN_V1 = {  # published backbones of Swin Transformer (arXiv 2103.14030) and HTC++ in millions
    'b': (dict(embed_dims=128, num_heads=(4, 8, 16, 32)), 160),
    'l': (dict(embed_dims=192, num_heads=(6, 12, 24, 48)), 284),
}


@pytest.fixture
def attention() -> GlobalAttention:
    layer = GlobalAttention(CHANNELS, num_heads=3)
    for param in layer.parameters():
        param.data.normal_(std=0.5)
    return layer.double().eval()


@pytest.fixture
def maps() -> list[torch.Tensor]:
    sizes = [(14, 10), (7, 5), (4, 3)]
    return [torch.randn(2, c, *s, dtype=torch.float64) for c, s in zip(CHANNELS, sizes)]


def layer_norm(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    centerd = x - x.mean()
    return centerd / (centerd.square().mean() + 1e-5).sqrt() * norm.weight + norm.bias


def attended(layer: GlobalAttention, tokens: list[torch.Tensor]) -> list[torch.Tensor]:
    """The layer written out token by token and head by head."""
    dims = tokens[0].numel()
    size = dims // layer.num_heads
    projected = [layer.qkv.weight @ layer_norm(t, layer.norm1) + layer.qkv.bias for t in tokens]
    out = []
    for i, token in enumerate(tokens):
        heads = []
        for h in range(layer.num_heads):
            part = slice(h * size, (h + 1) * size)
            q = projected[i][:dims][part]
            logits = torch.stack([q @ p[dims : 2 * dims][part] for p in projected]) / size**0.5
            weights = logits.exp() / logits.exp().sum()
            heads.append(sum(w * p[2 * dims :][part] for w, p in zip(weights, projected)))
        x = token + layer.proj.weight @ torch.cat(heads) + layer.proj.bias
        first, _, second = layer.mlp
        hidden = nn.functional.gelu(first.weight @ layer_norm(x, layer.norm2) + first.bias)
        out.append(layer_norm(x + second.weight @ hidden + second.bias, layer.norm))
    return out


def test_attention_equals_a_plain_loop(attention, maps):
    with torch.no_grad():
        result = attention(maps)
        for b in range(2):
            tokens = list(maps[-1][b].flatten(1).t())
            expected = torch.stack(attended(attention, tokens), dim=1)
            torch.testing.assert_close(result[-1][b].flatten(1), expected, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(a, b) for a, b in zip(result[:-1], maps[:-1]))


def test_attention_is_global_and_knows_no_positions(attention, maps):
    """Without a position bias, permuted positions give permuted outputs."""
    last = maps[-1]
    order = torch.randperm(12)
    permuted = last.flatten(2)[..., order].unflatten(2, last.shape[2:])
    out, out_permuted = attention([last])[-1], attention([permuted])[-1]
    torch.testing.assert_close(out.flatten(2)[..., order], out_permuted.flatten(2))
    last = last.clone().requires_grad_()
    attention([last])[-1][0, :, 0, 0].sum().backward()
    assert (last.grad[0].abs().sum(0) > 0).all()
    assert (last.grad[1] == 0).all()


def test_a_dropped_layer_is_the_norm_of_its_input(maps):
    layer = GlobalAttention(CHANNELS, num_heads=3, drop_path_rate=0.999999).double().train()
    torch.manual_seed(0)
    out = layer(maps)[-1]
    expected = nn.functional.layer_norm(maps[-1].movedim(1, -1), (12,)).movedim(-1, 1)
    torch.testing.assert_close(out, expected)


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match=r'num_heads=5 must divide in_channels\[-1\]=12'):
        GlobalAttention(CHANNELS, num_heads=5)


def htcpp(leaf: str, **changes) -> nn.Module:
    """A detector of a config on the meta device, with entries of its backbone replaced."""
    cfg = Config.fromfile(ROOT / 'configs' / 'detection' / f'{leaf}.py').model
    cfg.backbone.pop('init_cfg')
    cfg.backbone.update(changes)
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        return MODELS.build(cfg)


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


LEAVES = {
    'b': 'htc++_swinv2-b-w16_1xb2-bf16-3x_coco-1600',
    'l': 'htc++_swinv2-l-w32_32xb2-3x_coco-1536',
}


def derived(dims: int) -> int:
    """Parameters of HTC++ beside its backbone, whose last map has `dims` channels, by hand."""
    conv, fc = lambda i, o, k: (i * k * k + 1) * o, lambda i, o: (i + 1) * o
    attention = 12 * dims**2 + 13 * dims + 2 * dims  # two norms 4 C, biases 9 C, the last norm
    fpn = sum(conv(dims // 2**i, 256, 1) + conv(256, 256, 3) for i in range(4))
    rpn = conv(256, 256, 3) + conv(256, 3, 1) + conv(256, 12, 1)
    box = 4 * conv(256, 256, 3) + fc(256 * 49, 1024) + fc(1024, 81) + fc(1024, 4)
    mask = 4 * conv(256, 256, 3) + conv(256, 256, 2) + conv(256, 80, 1)
    mask_with_features = mask + conv(256, 256, 1)
    semantic = 5 * conv(256, 256, 1) + 4 * conv(256, 256, 3) + conv(256, 256, 1)
    semantic += conv(256, 183, 1)
    return attention + fpn + rpn + 3 * box + mask + 2 * mask_with_features + semantic


@pytest.mark.parametrize('arch, published', [('b', 87_918_816), ('l', 196_739_932)])
def test_parameters_with_swinv2(arch, published):
    """The published backbone less its classifier and final norm, with four output norms."""
    model = htcpp(LEAVES[arch])
    dims = model.backbone.out_channels[-1]
    backbone = published - (dims + 1) * 1000 + sum(2 * c for c in model.backbone.out_channels[:3])
    assert num_parameters(model.backbone) == backbone
    assert num_parameters(model) == backbone + derived(dims)


@pytest.mark.parametrize('arch', SWIN_V1)
def test_parameters_with_swin_v1_are_the_published(arch):
    from mmdet.models.backbones import SwinTransformer

    settings, published = SWIN_V1[arch]
    backbone = SwinTransformer(depths=(2, 2, 18, 2), window_size=7, **settings)
    total = num_parameters(backbone) + derived(backbone.num_features[-1])
    assert round(total / 1e6) == published
