"""Learning rate and weight decay of every parameter, against tables written out from the rule of
the official fine-tuning code (`get_swin_layer`) and the paper's recipe.
"""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from swinv2_dense import SwinTransformerV2, VideoSwinTransformerV2, config_path
from swinv2_dense.errors import ConfigError

LR, WEIGHT_DECAY, MULT, DECAY = 4e-4, 0.05, 0.1, 0.9
SMALL = dict(embed_dims=8, depths=(1, 2), num_heads=(1, 2))
PAIR = ('weight', 'bias')
# Parameters by module, and whether they are decayed.
EMBEDDING = {'proj.weight': True, 'proj.bias': False, 'norm.weight': False, 'norm.bias': False}
BLOCK = {
    'attn.qkv.weight': True,
    'attn.q_bias': False,
    'attn.v_bias': False,
    'attn.logit_scale': False,
    'attn.cpb_mlp.0.weight': False,
    'attn.cpb_mlp.0.bias': False,
    'attn.cpb_mlp.2.weight': False,
    'attn.proj.weight': True,
    'attn.proj.bias': False,
    'norm1.weight': False,
    'norm1.bias': False,
    'mlp.fc1.weight': True,
    'mlp.fc1.bias': False,
    'mlp.fc2.weight': True,
    'mlp.fc2.bias': False,
    'norm2.weight': False,
    'norm2.bias': False,
}
MERGING = {'reduction.weight': True, 'norm.weight': False, 'norm.bias': False}


def optimizer_cfg(**paramwise: float) -> dict:
    return dict(
        constructor='SwinV2OptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=LR, weight_decay=WEIGHT_DECAY),
        paramwise_cfg=paramwise,
    )


def groups_of(model: nn.Module, **paramwise: float) -> dict[str, tuple[float, float]]:
    """(lr, weight decay) by parameter name."""
    optimizer = build_optim_wrapper(model, optimizer_cfg(**paramwise)).optimizer
    groups = {
        param: (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for param in group['params']
    }
    assert len(groups) == len(list(model.parameters()))
    return {name: groups[param] for name, param in model.named_parameters()}


def table_of_b(out_indices: tuple[int, ...]) -> dict[str, tuple[int, bool]]:
    """(distance from the last layer, decayed) of every parameter of SwinV2-B: 2, 2, 18, 2 blocks.

    With one layer before and one after, the 24 blocks are 24 to 1 layers from the last.
    """
    parts = {'patch_embed': (25, EMBEDDING)}
    first_blocks = {0: 24, 1: 22, 2: 20, 3: 2}
    for stage, depth in enumerate((2, 2, 18, 2)):
        for block in range(depth):
            parts[f'layers.{stage}.blocks.{block}'] = (first_blocks[stage] - block, BLOCK)
    # Merging belongs to the preceding block.
    parts |= {f'layers.{stage}.downsample': (d, MERGING) for stage, d in ((0, 23), (1, 21), (2, 3))}
    parts |= {f'norm{stage}': (0, dict.fromkeys(PAIR, False)) for stage in out_indices}
    return {
        f'{part}.{name}': (distance, decayed)
        for part, (distance, names) in parts.items()
        for name, decayed in names.items()
    }


def detector() -> nn.Module:
    """HTC++ on SwinV2-B, on the meta device."""
    pytest.importorskip('mmdet')
    import mmdet.models  # noqa: F401
    from mmdet.registry import MODELS

    import swinv2_dense.det  # noqa: F401

    init_default_scope('mmdet')
    cfg = Config.fromfile(config_path('_base_/models/htc++.py'))
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def recognizer() -> nn.Module:
    model = nn.Module()
    with torch.device('meta'):
        model.backbone = VideoSwinTransformerV2('b')
        model.cls_head = nn.Linear(1024, 400)
    return model


@pytest.mark.parametrize('build, out_indices', [(detector, (0, 1, 2, 3)), (recognizer, (3,))])
def test_every_parameter_of_b(build, out_indices):
    model = build()
    expected = {
        f'backbone.{name}': (LR * MULT * DECAY**distance, WEIGHT_DECAY if decayed else 0.0)
        for name, (distance, decayed) in table_of_b(out_indices).items()
    }
    layers = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    for name, module in model.named_modules():
        if not f'{name}.'.startswith('backbone.'):
            for key, _ in module.named_parameters(recurse=False):
                decayed = isinstance(module, layers) and key == 'weight'
                expected[f'{name}.{key}'] = (LR, WEIGHT_DECAY if decayed else 0.0)
    groups = groups_of(model, backbone_lr_mult=MULT, layer_decay=DECAY)
    assert groups.keys() == expected.keys()
    for name, (lr, decay) in expected.items():
        assert groups[name] == (pytest.approx(lr, rel=1e-12), decay), name


def test_without_layer_decay_all_learning_rates_are_equal():
    model = nn.Module()
    model.backbone, model.neck = SwinTransformerV2(SMALL, out_indices=(0, 1)), nn.Conv2d(8, 8, 1)
    groups = groups_of(model)
    assert {lr for lr, _ in groups.values()} == {LR}
    decayed = {name for name, (_, decay) in groups.items() if decay}
    assert {name.removeprefix('backbone.layers.1.blocks.1.') for name in decayed} >= {
        name for name, is_decayed in BLOCK.items() if is_decayed
    }
    assert 'neck.weight' in decayed and 'neck.bias' not in decayed


def compiled(model: nn.Module) -> nn.Module:
    model.backbone = torch.compile(model.backbone)
    return model


def compiled_stages(model: nn.Module) -> nn.Module:
    for i, stage in enumerate(model.backbone.layers):
        model.backbone.layers[i] = torch.compile(stage)
    return model


def recomputed(model: nn.Module) -> nn.Module:
    for stage in model.backbone.layers:
        for i, block in enumerate(stage.blocks):
            stage.blocks[i] = checkpoint_wrapper(block)
    model.backbone.patch_embed = checkpoint_wrapper(model.backbone.patch_embed)
    return model


@pytest.mark.parametrize('wrap', [nn.DataParallel, compiled, compiled_stages, recomputed])
def test_wrappers_change_nothing(wrap):
    """Such as DistributedDataParallel's `module.`; FSDP is in test_fsdp."""

    def build() -> nn.Module:
        model = nn.Module()
        model.backbone, model.head = SwinTransformerV2(SMALL, out_indices=(1,)), nn.Linear(16, 3)
        return model

    paramwise = dict(backbone_lr_mult=MULT, layer_decay=DECAY)
    plain, wrapped = groups_of(build(), **paramwise), groups_of(wrap(build()), **paramwise)
    assert wrapped.keys() != plain.keys()
    assert list(wrapped.values()) == list(plain.values())
    assert len(set(plain.values())) == 2 + 4 * 2 + 1  # head; layers 0 to 3; output norm


def test_frozen_parameters_are_not_optimized():
    model = nn.Module()
    model.backbone = SwinTransformerV2(SMALL, out_indices=(0, 1), frozen_stages=1)
    optimizer = build_optim_wrapper(model, optimizer_cfg()).optimizer
    optimized = {param for group in optimizer.param_groups for param in group['params']}
    assert optimized == {param for param in model.parameters() if param.requires_grad}
    assert model.backbone.patch_embed.proj.weight not in optimized


def test_unknown_paramwise_key_is_named():
    with pytest.raises(
        ValueError, match=r"\['custom_keys'\]; .* backbone_lr_mult, layer_decay and"
    ):
        groups_of(nn.Linear(2, 2), custom_keys={})


@pytest.mark.parametrize('kind, lr', [('AdamW', 1e-3), ('SGD', 1e-3), ('Adadelta', 1.0)])
def test_multipliers_of_the_default_learning_rate(kind, lr):
    """torch's documented defaults, if the config has no lr."""
    model = SwinTransformerV2(SMALL, window_size=2, out_indices=(0, 1))
    cfg = dict(
        constructor='SwinV2OptimWrapperConstructor',
        optimizer=dict(type=kind),
        paramwise_cfg=dict(backbone_lr_mult=0.5, layer_decay=0.9),
    )
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    rates = {param: group['lr'] for group in groups for param in group['params']}
    # Layers: patch embedding 0, blocks 1 to 3, output norms 4.
    assert rates[model.patch_embed.proj.weight] == pytest.approx(lr * 0.5 * 0.9**4)
    assert rates[model.layers[0].blocks[0].mlp.fc1.weight] == pytest.approx(lr * 0.5 * 0.9**3)


class WithoutRate(torch.optim.SGD):
    def __init__(self, params, momentum=0.0, weight_decay=0.0):
        super().__init__(params, lr=0.1, momentum=momentum, weight_decay=weight_decay)


@pytest.mark.parametrize('optimizer', [dict(type=WithoutRate), dict(type='AdamW', lr=None)])
def test_no_learning_rate_to_multiply(optimizer):
    model = SwinTransformerV2(SMALL, window_size=2, out_indices=(0, 1))
    cfg = dict(constructor='SwinV2OptimWrapperConstructor', optimizer=optimizer)
    with pytest.raises(ConfigError, match=r'has no lr, which .* set optim_wrapper\.optimizer\.lr'):
        build_optim_wrapper(model, dict(cfg, paramwise_cfg=dict(layer_decay=0.9)))
    if optimizer['type'] is WithoutRate:  # nothing to multiply
        assert build_optim_wrapper(model, cfg).optimizer.param_groups[0]['lr'] == 0.1


def test_named_parameters_are_not_decayed():
    """Mask2Former's embeddings of queries and levels are matrices."""
    model = nn.ModuleDict(dict(query_embed=nn.Embedding(3, 4), other=nn.Linear(4, 4, bias=False)))
    found = groups_of(model, no_decay=('query_embed',))
    assert {name: decay for name, (_, decay) in found.items()} == {
        'query_embed.weight': 0.0,
        'other.weight': WEIGHT_DECAY,
    }
