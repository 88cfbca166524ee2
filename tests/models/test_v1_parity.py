"""Swin V1 against mmdet's, mmaction2's and transformers' models with the same weights.

Each library saves its own random model, our loader reads the file, and maps and gradients must be
equal: the comparison covers the model, and the conversion of its format.

Compared where the conventions agree: windows divide every map and are smaller than it. Of smaller
maps, mmdet and mmaction2 (in height and width) shift windows that are as large as the map, and pad
those that are larger; here, and in the official code, the window becomes the map, without a shift.
`test_a_map_of_one_window_is_not_shifted` shows the difference. mmaction2 clamps like we do.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV1, VideoSwinTransformerV1
from swinv2_dense.checkpoints.formats import convert
from swinv2_dense.checkpoints.loading import load_pretrained

DEPTHS, HEADS, DIMS = (2, 2, 2), (1, 2, 4), 16
ARCH = dict(embed_dims=DIMS, depths=DEPTHS, num_heads=HEADS)
STAGES = (0, 1, 2)


def randomized(model: nn.Module) -> nn.Module:
    """Weights for which norms, biases and tables matter."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.eval()  # which returns None in mmdet
    return model


def mmdet_model(window: int) -> nn.Module:
    from mmdet.models import SwinTransformer

    return SwinTransformer(
        embed_dims=DIMS,
        depths=DEPTHS,
        num_heads=HEADS,
        strides=(4, 2, 2),
        window_size=window,
        out_indices=STAGES,
        drop_path_rate=0.0,
    )


def mmaction_model(window: tuple) -> nn.Module:
    from mmaction.models.backbones import SwinTransformer3D

    return SwinTransformer3D(
        dict(embed_dims=DIMS, depths=list(DEPTHS), num_heads=list(HEADS)),
        pretrained2d=False,
        window_size=window,
        out_indices=STAGES,
        drop_path_rate=0.0,
    )


def ours_with(theirs: nn.Module, path: Path, window: int | tuple, **settings) -> nn.Module:
    """Our backbone, loaded from the file that is saved of `theirs`."""
    torch.save(theirs.state_dict(), path)
    kind = VideoSwinTransformerV1 if isinstance(window, tuple) else SwinTransformerV1
    settings = dict(window_size=window, drop_path_rate=0.0, out_indices=STAGES) | settings
    model = kind(ARCH, **settings)
    report = load_pretrained(model, str(path))
    assert report.missing == report.unexpected == []
    return model.eval()


def assert_equal(ours: nn.Module, theirs: nn.Module, x: torch.Tensor, prefix: str = '') -> None:
    """All maps, and the gradients of the input and of all parameters, to 1e-5 of the largest."""
    results = []
    for model in (ours, theirs):
        image = x.clone().requires_grad_()
        maps = model(image)
        generator = torch.Generator().manual_seed(1)
        weights = [torch.randn(m.shape, generator=generator).to(m) for m in maps]
        sum((m * w).mean() for m, w in zip(maps, weights)).backward()
        results.append((maps, image.grad))
    for found, expected in zip(results[0][0], results[1][0], strict=True):
        assert_close(found, expected, atol=1e-5 * expected.abs().max().item(), rtol=0)
    expected = results[1][1]
    assert_close(results[0][1], expected, atol=1e-5 * expected.abs().max().item(), rtol=0)
    grads = {name: p.grad for name, p in theirs.named_parameters()}
    references = convert(grads, 'gradients').state  # renaming and reordering are linear
    compared = 0
    for name, parameter in ours.named_parameters():
        if name in references:
            limit = 1e-5 * references[name].abs().max().item()
            assert_close(
                parameter.grad, references[name], atol=limit, rtol=0, msg=lambda m, n=name: n + m
            )
            compared += 1
    assert compared == len(list(ours.parameters()))


@pytest.mark.parametrize('backend', ['auto', 'plain'])
def test_equals_mmdet(tmp_path: Path, backend: str) -> None:
    theirs = randomized(mmdet_model(4))
    ours = ours_with(theirs, tmp_path / 'mmdet.pth', 4, attention_backend=backend)
    assert_equal(ours, theirs, torch.randn(2, 3, 128, 192))


@pytest.mark.parametrize('sequential', [False, True])
def test_equals_mmaction2(tmp_path: Path, sequential: bool) -> None:
    """The second case has fewer frames than the window, which is clamped to them."""
    theirs = randomized(mmaction_model((4, 4, 4)))
    ours = ours_with(theirs, tmp_path / 'm.pth', (4, 4, 4), sequential_attention=sequential)
    assert_equal(ours, theirs, torch.randn(1, 3, 16, 128, 128))
    theirs.zero_grad()
    ours.zero_grad()
    assert_equal(ours, theirs, torch.randn(1, 3, 6, 128, 128))


def test_equals_transformers(tmp_path: Path) -> None:
    """Its backbone is built for one image size, from which it derives windows and shifts."""
    transformers = pytest.importorskip('transformers')
    config = transformers.SwinConfig(
        image_size=128,
        embed_dim=DIMS,
        depths=list(DEPTHS),
        num_heads=list(HEADS),
        window_size=4,
        drop_path_rate=0.0,
        out_features=['stage1', 'stage2', 'stage3'],
    )
    theirs = randomized(transformers.SwinBackbone(config))
    theirs.save_pretrained(tmp_path)  # under the names of the hub
    ours = SwinTransformerV1(ARCH, window_size=4, drop_path_rate=0.0, out_indices=STAGES)
    report = load_pretrained(ours, str(tmp_path / 'model.safetensors'))
    assert report.format.startswith('Hugging Face V1')
    assert report.missing == []
    assert all('swin.layernorm' in key for key in report.unexpected)  # not used there either
    image = torch.randn(2, 3, 128, 128)
    maps, references = ours.eval()(image), theirs(image).feature_maps
    for found, expected in zip(maps, references, strict=True):
        assert_close(found, expected, atol=1e-5 * expected.abs().max().item(), rtol=0)
    sum(m.square().mean() for m in maps).backward()
    sum(m.square().mean() for m in references).backward()
    grads = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for s, b in ((0, 1), (2, 0)):
        block, attn = ours.layers[s].blocks[b], f'swin.encoder.layers.{s}.blocks.{b}.attention.'
        qkv = [grads[f'{attn}{part}_proj.weight'] for part in 'qkv']
        table = grads[f'{attn}relative_position_bias.relative_position_bias_table']
        pairs = [
            (block.attn.qkv.weight.grad, torch.cat(qkv)),
            (block.attn.position_bias.weight.grad, table),
        ]
        for found, expected in pairs:
            assert_close(found, expected, atol=1e-5 * expected.abs().max().item(), rtol=0)


def test_a_map_of_one_window_is_not_shifted(tmp_path: Path) -> None:
    """In the last stage, a map as large as the window: mmdet shifts, and its map differs."""
    theirs = randomized(mmdet_model(4))
    ours = ours_with(theirs, tmp_path / 'mmdet.pth', 4)
    with torch.no_grad():
        image = torch.randn(1, 3, 64, 64)
        found, expected = ours(image), theirs(image)
        for a, b in zip(found[:2], expected[:2]):
            assert_close(a, b, atol=1e-4, rtol=0)
        assert (found[2] - expected[2]).abs().max() > 1e-2
        for block in theirs.stages[2].blocks:
            block.attn.shift_size = 0
        assert_close(found[2], theirs(image)[2], atol=1e-4, rtol=0)
