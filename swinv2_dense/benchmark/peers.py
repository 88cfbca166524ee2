"""Swin Transformers of other libraries: a model, and a function that returns its feature maps.

Here are those of V2, in peers_v1.py those of V1. Libraries are imported when they are needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor, nn

from ..arguments import Arch

Maps = Callable[[Tensor], Sequence[Tensor]]


def hf(
    arch: Arch, size: int, window: int, pretrained_windows: Sequence[int]
) -> tuple[nn.Module, Maps]:
    """transformers' Swinv2Backbone, without output norms."""
    from transformers import Swinv2Backbone, Swinv2Config

    model = Swinv2Backbone(
        Swinv2Config(
            image_size=size,
            embed_dim=arch.embed_dims,
            depths=list(arch.depths),
            num_heads=list(arch.num_heads),
            window_size=window,
            pretrained_window_sizes=list(pretrained_windows),
            drop_path_rate=0.0,
            out_features=[f'stage{i + 1}' for i in range(len(arch.depths))],
        )
    )
    return model, lambda x: model(x).feature_maps


def timm(
    arch: Arch, size: int, window: int, pretrained_windows: Sequence[int]
) -> tuple[nn.Module, Maps]:
    """timm's SwinTransformerV2, without output norms."""
    without_torchvision_operators()
    from timm.models.swin_transformer_v2 import SwinTransformerV2

    model = SwinTransformerV2(
        img_size=size,
        embed_dim=arch.embed_dims,
        depths=arch.depths,
        num_heads=arch.num_heads,
        window_size=window,
        pretrained_window_sizes=tuple(pretrained_windows),
        drop_path_rate=0.0,
        num_classes=0,
    )

    def maps(x: Tensor) -> list[Tensor]:
        x, outs = model.patch_embed(x), []
        for stage in model.layers:
            x = stage(x)
            outs.append(x.movedim(-1, 1))
        return outs

    return model, maps


def mmpretrain(
    arch: Arch, size: int, window: int, pretrained_windows: Sequence[int]
) -> tuple[nn.Module, Maps]:
    """mmpretrain's SwinTransformerV2, with output norms."""
    without_torchvision_operators()
    # Its vision-language models import classes that transformers 5 has removed.
    sys.modules['mmpretrain.models.multimodal'] = ModuleType('multimodal')
    from mmpretrain.models.backbones import SwinTransformerV2

    model = SwinTransformerV2(
        dict(
            embed_dims=arch.embed_dims,
            depths=list(arch.depths),
            num_heads=list(arch.num_heads),
            extra_norm_every_n_blocks=arch.extra_norm_every,
        ),
        img_size=size,
        window_size=[window] * len(arch.depths),
        pretrained_window_sizes=list(pretrained_windows),
        drop_path_rate=0.0,
        out_indices=tuple(range(len(arch.depths))),
    )
    return model, model


PEERS = {'hf': hf, 'timm': timm, 'mmpretrain': mmpretrain}
WITH_OUTPUT_NORMS = ('mmpretrain',)


def without_torchvision_operators() -> None:
    """CUDA builds of torchvision cannot register operators in CPU torch; SwinV2 needs none."""
    if not torch.cuda.is_available():
        name = 'torchvision._meta_registrations'
        sys.modules.setdefault(name, ModuleType(name))
