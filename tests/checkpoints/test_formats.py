"""Every checkpoint format: recognized by its keys, converted both ways, with equal features.

transformers' models are saved by transformers itself. The other layouts are generated from their
key maps (tests/support/layouts.py); test_peers.py loads what the libraries themselves save.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from layouts import LAYOUTS, TABLES, depths_of, hugging_face, official, simmim, timm, with_tables
from tiny_models import TINY, randomized, tiny
from torch.testing import assert_close
from unnormalized import Unnormalized

from swinv2_dense import SwinTransformerV2
from swinv2_dense.checkpoints.formats import arch_name, arch_of, convert
from swinv2_dense.checkpoints.loading import load_pretrained
from swinv2_dense.checkpoints.pretrained_windows import from_name
from swinv2_dense.errors import CheckpointError

PWS = [6, 6, 6, 3]


def source_model() -> SwinTransformerV2:
    return randomized(tiny(pretrained_window_sizes=PWS, window_size=4)).eval()


def saved(folder: Path, checkpoint: object, name: str = 'model.pth') -> str:
    torch.save(checkpoint, folder / name)
    return str(folder / name)


def assert_same_features(model: SwinTransformerV2, source: SwinTransformerV2) -> None:
    """Equal maps before the output norms, which no other format has, and after the last one."""
    image = torch.randn(2, 3, 52, 71)
    for i in range(3):
        getattr(model, f'norm{i}').load_state_dict(getattr(source, f'norm{i}').state_dict())
    with torch.no_grad():
        for out, expected in zip(model.eval()(image), source(image)):
            assert torch.equal(out, expected)


@pytest.mark.parametrize('name', LAYOUTS)
def test_conversion_is_bijective(name: str) -> None:
    """There and back: every key, shape and value, and only heads are left over."""
    ours = dict(source_model().state_dict())
    theirs = LAYOUTS[name](ours)
    weights = convert(theirs, 'x')
    assert weights.format == name
    back = {
        key.replace('norm.', 'norm3.', 1) if key.startswith('norm.') else key: value
        for key, value in weights.state.items()
    }
    expected = {k: v for k, v in ours.items() if not k.startswith(('norm0', 'norm1', 'norm2'))}
    assert back.keys() == expected.keys()
    assert all(torch.equal(back[key], expected[key]) for key in back)
    assert all(
        any(part in key for part in ('head', 'classifier', 'mask', 'decoder'))
        for key in weights.ignored
    )
    again = LAYOUTS[name](back)
    assert again.keys() == theirs.keys()
    assert all(torch.equal(again[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize('name', LAYOUTS)
def test_features_and_pretrained_windows(tmp_path: Path, name: str) -> None:
    source = source_model()
    ours = dict(source.state_dict())
    state = LAYOUTS[name](ours)
    given = dict(pretrained_window_sizes=PWS)
    if name in TABLES:
        state = with_tables(state, TABLES[name], depths_of(ours), [8, 8, 8, 4], PWS)
        given = {}
    model = SwinTransformerV2(TINY, window_size=4, **given)
    report = load_pretrained(model, saved(tmp_path, state))
    assert model.pretrained_window_sizes == [(6, 6)] * 3 + [(3, 3)]
    assert report.format.startswith(name)
    assert report.missing == report.unexpected == []
    assert len(report.reinitialized) == 6
    assert_same_features(model, source)


@pytest.mark.parametrize('name', LAYOUTS)
@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: dict(model=state),
        lambda state: dict(state_dict={f'module.{k}': v for k, v in state.items()}),
        lambda state: dict(model_ema={f'_orig_mod.{k}': v for k, v in state.items()}, model={}),
        lambda state: {f'student.backbone.{k}': v for k, v in state.items()},
    ],
    ids=['model', 'DDP', 'EMA', 'deep'],
)
def test_containers_and_prefixes(name: str, wrap: object) -> None:
    plain = LAYOUTS[name](dict(source_model().state_dict()))
    weights, expected = convert(wrap(plain), 'x'), convert(plain, 'x')
    assert weights.format == name
    assert weights.state.keys() == expected.state.keys()
    assert all(torch.equal(v, expected.state[k]) for k, v in weights.state.items())


def test_two_backbones_of_unlike_formats_need_a_prefix() -> None:
    ours = dict(source_model().state_dict())
    state = {f'teacher.{k}': v for k, v in LAYOUTS['mmpretrain'](ours).items()}
    state |= {f'student.backbone.{k}': v for k, v in ours.items()}
    with pytest.raises(CheckpointError, match='2 Swin backbones'):
        convert(state, 'x')
    assert convert(state, 'x', prefix='teacher.backbone').format == 'mmpretrain'
    assert convert(state, 'x', prefix='student.backbone').format == 'official'


def test_wrappers_within_names_and_timm_feature_lists() -> None:
    ours = source_model().state_dict()
    for change in (
        lambda key: key.replace('blocks.1.', 'blocks.1._checkpoint_wrapped_module.'),
        lambda key: key.replace('layers.', '_fsdp_wrapped_module.layers.'),
        lambda key: key.replace('layers.', 'layers_'),
    ):
        weights = convert({change(key): value for key, value in timm(ours).items()}, 'x')
        assert weights.format == 'timm'
        assert weights.state.keys() == convert(timm(ours), 'x').state.keys()


def test_timm_without_head_is_timm() -> None:
    """timm's own loader mistakes a headless file for the official format and shifts it again."""
    state = {k: v for k, v in timm(source_model().state_dict()).items() if 'head' not in k}
    assert convert(state, 'x').format == 'timm'


def test_two_backbones_need_a_prefix(tmp_path: Path) -> None:
    teacher, student = source_model(), source_model()
    state = {f'teacher.backbone.{k}': v for k, v in teacher.state_dict().items()}
    state |= {f'student.backbone.{k}': v for k, v in student.state_dict().items()}
    path = saved(tmp_path, dict(state_dict=state))
    settings = dict(type='Pretrained', checkpoint=path)
    with pytest.raises(CheckpointError, match=r'2 Swin backbones.*teacher.*student.*prefix='):
        tiny(init_cfg=settings, pretrained_window_sizes=PWS).init_weights()
    for prefix in ('student.backbone', 'student.backbone.'):
        model = tiny(init_cfg=dict(settings, prefix=prefix), pretrained_window_sizes=PWS)
        model.init_weights()
        assert torch.equal(model.norm0.bias, student.norm0.bias)
    with pytest.raises(CheckpointError, match="no Swin Transformer under the prefix 'neck'"):
        tiny(init_cfg=dict(settings, prefix='neck')).init_weights()


# ---------------------------------------------------------------------- transformers


HF = dict(
    image_size=64,
    patch_size=4,
    embed_dim=16,
    depths=[2, 2, 2, 2],
    num_heads=[1, 2, 4, 8],
    window_size=4,
    drop_path_rate=0.0,
)
HF_ARCH = dict(embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))


def hf_model(kind: str, **settings: object) -> torch.nn.Module:
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(0)
    config = transformers.Swinv2Config(
        **HF | settings, out_features=['stage1', 'stage2', 'stage3', 'stage4']
    )
    if kind == 'Swinv2Backbone':
        model = transformers.Swinv2Backbone(config)
    else:
        model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model.eval()


HF_KINDS = ['Swinv2Model', 'Swinv2ForImageClassification', 'Swinv2ForMaskedImageModeling']


def hf_save(model: torch.nn.Module, folder: Path, suffix: str) -> str:
    """As transformers does; older versions wrote pytorch_model.bin with torch.save."""
    model.save_pretrained(folder)
    if suffix == '.safetensors':
        return str(folder / 'model.safetensors')
    (folder / 'model.safetensors').unlink()
    return saved(folder, model.state_dict(), 'pytorch_model.bin')


@pytest.mark.parametrize('suffix', ['.safetensors', '.bin', 'folder'])
@pytest.mark.parametrize('kind', [*HF_KINDS, 'Swinv2Backbone'])
def test_models_saved_by_transformers(tmp_path: Path, kind: str, suffix: str) -> None:
    theirs = hf_model(kind, pretrained_window_sizes=[3, 3, 3, 2])
    path = hf_save(theirs, tmp_path, '.safetensors' if suffix == 'folder' else suffix)
    path = str(tmp_path) if suffix == 'folder' else path
    model = SwinTransformerV2(
        HF_ARCH, window_size=4, init_cfg=dict(type='Pretrained', checkpoint=path)
    )
    model.init_weights()
    assert model.pretrained_window_sizes == [(3, 3)] * 3 + [(2, 2)]
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps = Unnormalized(model.eval())(image)
        if kind == 'Swinv2Backbone':
            expected = theirs(image).feature_maps
            for ours, reference in zip(maps, expected):
                assert_close(ours, reference, atol=1e-5, rtol=1e-5)
        else:
            body = theirs if kind == 'Swinv2Model' else theirs.swinv2
            final = model.norm3(maps[3].movedim(1, -1)).flatten(1, 2)
            assert_close(final, body(image).last_hidden_state, atol=1e-5, rtol=1e-5)


def test_pretrained_window_zero_of_config_json_is_the_clamped_window(tmp_path: Path) -> None:
    """At 64 pixels the maps are 16, 8, 4 and 2 tokens wide."""
    path = hf_save(hf_model('Swinv2Model', window_size=8), tmp_path, '.safetensors')
    model = SwinTransformerV2(HF_ARCH, window_size=8)
    report = load_pretrained(model, path)
    assert model.pretrained_window_sizes == [(8, 8), (8, 8), (4, 4), (2, 2)]
    assert report.windows_from == 'the config.json next to it'
    (tmp_path / 'config.json').unlink()
    with pytest.raises(CheckpointError, match='does not say which windows'):
        load_pretrained(SwinTransformerV2(HF_ARCH), path)


def test_a_config_json_of_something_else_is_ignored(tmp_path: Path) -> None:
    state = hugging_face(source_model().state_dict())
    path = saved(tmp_path, state, 'pytorch_model.bin')
    for content in ('{"model_type": "bert", "window_size": 3}', 'no json', '[1]'):
        (tmp_path / 'config.json').write_text(content)
        with pytest.raises(CheckpointError, match='does not say which windows'):
            load_pretrained(tiny(), path)
    nested = dict(model_type='mask2former', backbone_config=HF | dict(model_type='swinv2'))
    (tmp_path / 'config.json').write_text(json.dumps(nested))
    assert load_pretrained(tiny(), path).pretrained_window_sizes[-1] == (2, 2)


# ---------------------------------------------------------------------- released names


@pytest.mark.parametrize(
    'name, expected',
    [
        ('/x/swinv2_tiny_patch4_window8_256.pth', (8, 8, 8, 8)),
        ('https://a.b/v2.0.0/swinv2_base_patch4_window16_256.pth', (16, 16, 16, 8)),
        ('swinv2_large_patch4_window12_192_22k.pth', (12, 12, 12, 6)),
        ('swinv2_base_patch4_window12to16_192to256_22kto1k_ft.pth', (12, 12, 12, 6)),
        ('swinv2_large_patch4_window12to24_192to384_22kto1k_ft.pth', (12, 12, 12, 6)),
        ('hf://timm/swinv2_small_window16_256.ms_in1k', (16, 16, 16, 8)),
        ('swinv2_base_window12to24_192to384.ms_in22k_ft_in1k/model.safetensors', (12, 12, 12, 6)),
        ('hf://microsoft/swinv2-tiny-patch4-window8-256', (8, 8, 8, 8)),
        ('hf://microsoft/swinv2-base-patch4-window12to16-192to256-22kto1k-ft', (12, 12, 12, 6)),
        ('/a/swin_v2_t-b137f0e2.pth', (8, 8, 8, 8)),
        ('swinv2-tiny-w16_3rdparty_in1k-256px_20220803-9651cdd7.pth', (16, 16, 16, 8)),
        ('swinv2-base-w24_in21k-pre_3rdparty_in1k-384px_20220803-44eb70f8.pth', (12, 12, 12, 6)),
        ('swinv2-base-w12_3rdparty_in21k-192px_20220803-f7dc9763.pth', (12, 12, 12, 6)),
        ('simmim_swinv2_pretrain_models/swinv2_huge_22k_500k.pth', (12, 12, 12, 6)),
        ('hf://microsoft/swinv2-base-patch4-window12-192-22k@main', (12, 12, 12, 6)),
        ('/swinv2_tiny_window8_256/runs/mine.pth', None),
        ('/swinv2_tiny_window8_256/runs/model.safetensors', None),
        ('upernet_swin_v2_t_w16_512.pth', None),
        ('swinv2_tiny_patch4_window16_256_ft_window32_1024.pth', None),
        ('20240101-000000-swinv2_base_window16_256-512/model_best.pth.tar', None),
        ('swinv2_tiny_window32_1024.pth', None),
        ('swinv2_ours.pth', None),
    ],
)
def test_pretrained_windows_of_released_names(name: str, expected: tuple | None) -> None:
    found = from_name(name)
    assert (found and [w for w, _ in found.windows]) == (expected and list(expected))


def test_timm_on_the_hub_names_its_architecture(tmp_path: Path) -> None:
    path = saved(tmp_path, timm(source_model().state_dict()), 'pytorch_model.bin')
    config = dict(architecture='swinv2_base_window12to16_192to256', num_classes=1000)
    (tmp_path / 'config.json').write_text(json.dumps(config))
    report = load_pretrained(tiny(), path)
    assert report.pretrained_window_sizes == [(12, 12)] * 3 + [(6, 6)]
    assert report.windows_from.endswith('swinv2_base_window12to16_192to256')


# ---------------------------------------------------------------------- other models


@pytest.mark.parametrize(
    'keys, message',
    [
        (['blocks.0.attn.relative_position_bias_table'], 'tables of position biases'),
        (['stages.0.blocks.0.attn.meta_mlp.fc1.weight'], 'swinv2_cr'),
        (['cls_token', 'blocks.0.attn.qkv.weight'], 'a plain Vision Transformer'),
        (['vision_model.embeddings.class_embedding'], 'a plain Vision Transformer'),
        (['stages.0.blocks.0.dwconv.weight'], 'ConvNeXt'),
        (['backbone.layer1.0.conv1.weight'], 'a ResNet'),
        (['foo.weight'], r'its keys are foo\.weight'),
        ([], 'its keys are model'),
    ],
)
def test_other_models_are_refused_by_name(tmp_path, keys: list, message: str) -> None:
    path = saved(tmp_path, dict(model={key: torch.zeros(1) for key in keys}))
    with pytest.raises(CheckpointError, match=f'{path} .*no.* Swin Transformer.*{message}'):
        load_pretrained(tiny(), path)


def test_absolute_positions_are_refused(tmp_path: Path) -> None:
    for state, name in [
        (official(source_model().state_dict()), 'absolute_pos_embed'),
        (hugging_face(source_model().state_dict()), 'swinv2.embeddings.position_embeddings'),
    ]:
        path = saved(tmp_path, {**state, name: torch.zeros(1, 4, 8)})
        with pytest.raises(CheckpointError, match='absolute position embedding'):
            load_pretrained(tiny(pretrained_window_sizes=4), path)


# ------------------------------------------------------------------------------------- architecture


@pytest.mark.parametrize('arch', ['t', 's', 'b', 'l', 'h', 'g'])
def test_arch_is_read_from_shapes(arch: str) -> None:
    with torch.device('meta'):
        state = SwinTransformerV2(arch).state_dict()
    assert arch_name(arch_of(state)) == f'SwinV2-{arch.upper()}'


def test_heads_and_extra_norms_are_read_from_the_weights() -> None:
    """H with the heads of mmpretrain, and the 1.06 B model of SimMIM as its size suggests."""
    for arch, expected in [
        (
            dict(
                embed_dims=352, depths=(2, 2, 18, 2), num_heads=(8, 16, 32, 64), extra_norm_every=6
            ),
            'arch=dict(embed_dims=352, depths=(2, 2, 18, 2), num_heads=(8, 16, 32, 64), '
            'extra_norm_every=6)',
        ),
        (
            dict(embed_dims=448, depths=(2, 2, 18, 2), num_heads=(14, 28, 56, 112)),
            'arch=dict(embed_dims=448, depths=(2, 2, 18, 2), num_heads=(14, 28, 56, 112))',
        ),
    ]:
        with torch.device('meta'):
            state = simmim(dict(SwinTransformerV2(arch).state_dict()))
        assert arch_name(arch_of(convert(state, 'x').state)) == expected
