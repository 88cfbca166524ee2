"""Checkpoints of SimMIM: into SimMIM with their mask token and decoder, and into dense models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from layouts import official, simmim
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from tiny_models import randomized
from torch.testing import assert_close

from swinv2_dense import SwinTransformerV2, VideoSwinTransformerV2
from swinv2_dense.errors import CheckpointError
from swinv2_dense.pretraining import SimMIM

ARCH = dict(embed_dims=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4))
WINDOWS = [4, 4, 4, 2]
BACKBONE = dict(type='SwinTransformerV2', arch=ARCH, window_size=4, pretrained_window_sizes=WINDOWS)


def build(source: Path | None = None, **backbone: object) -> SimMIM:
    init_cfg = source and dict(type='Pretrained', checkpoint=str(source))
    model = SimMIM({**BACKBONE, **backbone}, init_cfg=init_cfg)
    model.init_weights()
    return model


@pytest.fixture
def released(tmp_path: Path) -> tuple[SimMIM, dict, Path]:
    """A model, its weights as the official code writes them, and their file."""
    torch.manual_seed(0)
    model = randomized(build())
    state = simmim(model.backbone.state_dict())
    state['encoder.mask_token'] = model.mask_token.detach()
    for name in ('weight', 'bias'):
        state[f'decoder.0.{name}'] = getattr(model.decoder[0], name).detach()
    return model, state, tmp_path / 'swinv2_small_1k_500k.pth'


def save(state: dict, path: Path) -> Path:
    torch.save(dict(model=state), path)
    return path


def test_an_official_file_loads_whole(released) -> None:
    model, state, path = released
    loaded = build(save(state, path), window_size=8, pretrained_window_sizes=None)
    assert_close(dict(loaded.named_parameters()), dict(model.named_parameters()), atol=0, rtol=0)
    windows = [(12, 12)] * 3 + [(6, 6)]  # by the name of the release
    assert loaded.backbone.pretrained_window_sizes == windows


def test_the_result_of_a_training_loads_whole_and_into_backbones(released, tmp_path) -> None:
    """At other windows, in two and in three dimensions; the pretrained windows come along."""
    model, *_ = released
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    again = build(path, window_size=8, pretrained_window_sizes=None)
    assert_close(dict(again.named_parameters()), dict(model.named_parameters()), atol=0, rtol=0)
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    dense = SwinTransformerV2(ARCH, window_size=7, init_cfg=init_cfg)
    video = VideoSwinTransformerV2(ARCH, window_size=(4, 7, 7), init_cfg=init_cfg)
    for backbone in (dense, video):
        backbone.init_weights()
    assert dense.pretrained_window_sizes == [(w, w) for w in WINDOWS]
    assert video.pretrained_window_sizes == [(4, w, w) for w in WINDOWS]
    own = dict(dense.named_parameters())
    for name, value in model.backbone.named_parameters():
        assert own[name].equal(value), name


def test_an_unknown_key_stops_with_its_name(released) -> None:
    """As the unreleased code of H might write."""
    _, state, path = released
    before = build()
    weights = {name: value.clone() for name, value in before.state_dict().items()}
    for extra in ('encoder.layers.2.blocks.1.norm_extra.weight', 'projector.weight'):
        with pytest.raises(CheckpointError, match=extra.removeprefix('encoder.')):
            before.init_cfg = dict(
                type='Pretrained', checkpoint=str(save(state | {extra: torch.ones(4)}, path))
            )
            before.init_weights()
    assert all(value.equal(weights[name]) for name, value in before.state_dict().items())


def test_a_backbone_alone_is_refused_with_the_remedy(released) -> None:
    model, _, path = released
    with pytest.raises(
        CheckpointError, match=r'lacks mask_token, decoder.0.weight.*model.backbone'
    ):
        build(save(official(model.backbone.state_dict()), path))


def test_a_decoder_of_another_size_is_refused(released) -> None:
    _, state, path = released
    state['decoder.0.weight'] = torch.zeros(48, 128, 1, 1)
    with pytest.raises(CheckpointError, match='decoder.0.weight is .48, 128, 1, 1. in the file'):
        build(save(state, path))


def test_the_mask_token_is_not_decayed() -> None:
    model = build()
    cfg = dict(
        constructor='SwinV2OptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    )
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    names = {parameter: name for name, parameter in model.named_parameters()}
    decayed = {
        names[parameter]
        for group in groups
        if group['weight_decay']
        for parameter in group['params']
    }
    matrices = ('qkv.weight', 'proj.weight', 'fc1.weight', 'fc2.weight', 'reduction.weight')
    expected = {name for name in names.values() if name.endswith(matrices)}
    assert decayed == expected | {'decoder.0.weight'}


def test_the_name_of_the_model_is_registered() -> None:
    assert isinstance(MODELS.build(dict(type='SimMIM', backbone=BACKBONE)), SimMIM)
