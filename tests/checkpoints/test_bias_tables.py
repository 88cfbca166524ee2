"""Tables of position biases at other windows: against mmdet's and mmaction2's loaders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV1, SwinTransformerV2, VideoSwinTransformerV1
from swinv2_dense.checkpoints.bias_tables import resize_table, window_of
from swinv2_dense.checkpoints.loading import load_pretrained
from swinv2_dense.errors import CheckpointError

ARCH = dict(embed_dims=8, depths=(1, 1), num_heads=(1, 2))
SMALL = dict(arch=ARCH, out_indices=(0, 1))
TABLE = 'layers.{}.blocks.0.attn.relative_position_bias_table'


def official(folder: Path, window: int = 4) -> str:
    """A checkpoint as the official code writes it."""
    torch.manual_seed(0)
    state = {}
    for key, value in SwinTransformerV1(window_size=window, **SMALL).state_dict().items():
        key = key.replace('pre_norm', 'norm').replace('bias_table.weight', 'bias_table')
        if not key.startswith('norm'):
            state[key] = torch.randn_like(value)
    state['norm.weight'], state['norm.bias'] = torch.ones(16), torch.zeros(16)
    torch.save(dict(model=state), folder / 'swin.pth')
    return str(folder / 'swin.pth')


@pytest.mark.parametrize('window', [3, 6, 7])
def test_bicubic_as_in_mmdet(tmp_path: Path, window: int) -> None:
    """mmdet's backbone interpolates the tables of official checkpoints by itself."""
    from mmdet.models import SwinTransformer

    path = official(tmp_path)
    theirs = SwinTransformer(
        embed_dims=8,
        depths=(1, 1),
        num_heads=(1, 2),
        window_size=window,
        strides=(4, 2),
        out_indices=(0, 1),
        convert_weights=True,
        init_cfg=ConfigDict(type='Pretrained', checkpoint=path),
    )
    theirs.init_weights()
    ours = SwinTransformerV1(
        window_size=window, init_cfg=dict(type='Pretrained', checkpoint=path), **SMALL
    )
    ours.init_weights()
    for stage in (0, 1):
        expected = theirs.stages[stage].blocks[0].attn.w_msa.relative_position_bias_table
        found = ours.layers[stage].blocks[0].attn.position_bias.weight
        assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize('window', [(3, 4, 4), (2, 6, 6)])
def test_inflation_as_in_mmaction2(tmp_path: Path, window: tuple) -> None:
    """The tables and the patch embedding of an image checkpoint in a video model."""
    from mmaction.models.backbones import SwinTransformer3D

    path = official(tmp_path)
    theirs = SwinTransformer3D(
        dict(embed_dims=8, depths=[1, 1], num_heads=[1, 2]),
        pretrained=path,
        window_size=window,
        out_indices=(0, 1),
    )
    theirs.init_weights()
    ours = VideoSwinTransformerV1(window_size=window, **SMALL)
    report = load_pretrained(ours, path)
    assert report.inflated
    assert report.missing == []
    for stage in (0, 1):
        expected = theirs.layers[stage].blocks[0].attn.relative_position_bias_table
        found = ours.layers[stage].blocks[0].attn.position_bias.weight
        assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert_close(ours.patch_embed.proj.weight, theirs.patch_embed.proj.weight)


def test_the_report_names_both_windows(tmp_path: Path) -> None:
    report = load_pretrained(SwinTransformerV1(window_size=6, **SMALL), official(tmp_path))
    assert report.pretrained_window_sizes == [(4, 4)] * 2
    assert 'bias tables interpolated (bicubic) to windows [(6, 6), (6, 6)]' in str(report)


def test_all_loaders_interpolate() -> None:
    """load_state_dict does, which mmengine's loaders and moving averages call."""
    source = SwinTransformerV1(window_size=4, **SMALL)
    target = SwinTransformerV1(window_size=5, **SMALL)
    target.load_state_dict(source.state_dict())
    own = source.layers[0].blocks[0].attn.position_bias.weight
    found = target.layers[0].blocks[0].attn.position_bias.weight
    assert_close(found, resize_table(own, (4, 4), (5, 5)))
    image = torch.randn(1, 3, 16, 16)  # all maps fit into both windows, of which one interpolates
    assert not torch.equal(target(image)[0], source(image)[0])


def test_depth_is_linear_between_its_ends() -> None:
    """A table that is linear in the temporal offset stays so, and the others do not mix."""
    offsets = torch.arange(-3.0, 4.0)
    table = (offsets[:, None, None] + 100 * torch.ones(5, 5)).flatten()[:, None]
    found = resize_table(table, (4, 3, 3), (8, 3, 3)).view(15, 25)
    assert_close(found, found[:, :1].expand(-1, 25))
    steps = found[1:-1, 0].diff()
    assert_close(steps, torch.full((12,), 7 / 15))
    assert found[7, 0].item() == pytest.approx(100)


@pytest.mark.parametrize(
    'window, like',
    [((7, 7), None), ((24, 24), None), ((8, 7, 7), None), ((8, 12, 12), (8, 7, 7))]
    + [((16, 7, 7), (8, 7, 7)), ((3, 5, 5), (6, 5, 5)), ((13, 7, 7), (13, 9, 9))],
)
def test_windows_are_read_from_the_number_of_offsets(window: tuple, like: tuple | None) -> None:
    offsets = 1
    for size in window:
        offsets *= 2 * size - 1
    assert window_of(torch.empty(offsets, 1), len(window), like) == window


def test_a_table_that_cannot_be_interpolated(tmp_path: Path) -> None:
    path = official(tmp_path)
    content = torch.load(path, weights_only=True)
    content['model'][TABLE.format(1)] = torch.zeros(7 * 9, 2)
    torch.save(content, path)
    model = SwinTransformerV1(window_size=4, **SMALL)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_pretrained(model, path)
    message = str(error.value)
    assert 'layers.1.blocks.0.attn.relative_position_bias_table.weight of' in message
    assert '(63, 2) cannot be interpolated to the window (4, 4)' in message
    assert '\n' not in message
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    'settings, remedy',
    [
        ({}, "set type='SwinTransformerV1'"),
        (dict(position_bias='table', similarity='dot'), "set type='SwinTransformerV1'"),
    ],
)
def test_a_v1_file_in_another_model(tmp_path: Path, settings: dict, remedy: str) -> None:
    with pytest.raises(CheckpointError, match='is Swin Transformer V1, the config builds') as error:
        load_pretrained(SwinTransformerV2(**SMALL, **settings), official(tmp_path))
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    'saved, built, message',
    [
        ({}, SwinTransformerV1, "set type='SwinTransformerV2'"),
        (dict(position_bias='linear'), SwinTransformerV2, "set position_bias='linear'"),
        (dict(block='sandwich'), SwinTransformerV2, "set block='sandwich'"),
        (dict(block='post-norm'), SwinTransformerV2, "set block='post-norm'"),
        (dict(block='pre-norm'), SwinTransformerV2, "set block='pre-norm'"),
        (dict(similarity='dot'), SwinTransformerV2, "set similarity='dot'"),
        (dict(patch_merging='pre-norm'), SwinTransformerV2, "set patch_merging='pre-norm'"),
        (dict(similarity='dot', position_bias='table'), SwinTransformerV2, "position_bias='table'"),
    ],
)
def test_our_files_with_other_parts(tmp_path: Path, saved: dict, built, message: str) -> None:
    """What this package saves is recognized, loads into the same model, and into no other."""
    source = SwinTransformerV2(**SMALL, **saved)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'own.pth')
    with pytest.raises(CheckpointError) as error:
        load_pretrained(built(**SMALL), str(tmp_path / 'own.pth'))
    assert message in str(error.value)
    assert '\n' not in str(error.value)
    report = load_pretrained(SwinTransformerV2(**SMALL, **saved), str(tmp_path / 'own.pth'))
    assert report.missing == report.unexpected == report.reinitialized == []
