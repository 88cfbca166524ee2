"""Swin Transformer V1 of other libraries, see peers.py.

Their maps equal ours where windows divide every map and are smaller than it, as with window 7 and
images of 448 pixels. mmdet and mmaction2 shift windows that are as large as the map; we do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..arguments import Arch
from .peers import Maps, without_torchvision_operators


def mmdet(arch: Arch, size: int, window: int) -> tuple[nn.Module, Maps]:
    """mmdet's SwinTransformer, with output norms."""
    from mmdet.models import SwinTransformer

    model = SwinTransformer(
        embed_dims=arch.embed_dims,
        depths=arch.depths,
        num_heads=arch.num_heads,
        strides=(4, 2, 2, 2),
        window_size=window,
        drop_path_rate=0.0,
    )
    return model, model


def hf(arch: Arch, size: int, window: int) -> tuple[nn.Module, Maps]:
    """transformers' SwinBackbone, without its output norms."""
    from transformers import SwinBackbone, SwinConfig

    model = SwinBackbone(
        SwinConfig(
            image_size=size,
            embed_dim=arch.embed_dims,
            depths=list(arch.depths),
            num_heads=list(arch.num_heads),
            window_size=window,
            drop_path_rate=0.0,
            out_features=[f'stage{i + 1}' for i in range(len(arch.depths))],
        )
    )
    for stage in model.hidden_states_norms:
        model.hidden_states_norms[stage] = nn.Identity()
    return model, lambda x: model(x).feature_maps


def timm(arch: Arch, size: int, window: int) -> tuple[nn.Module, Maps]:
    """timm's SwinTransformer, without output norms."""
    without_torchvision_operators()
    from timm.models.swin_transformer import SwinTransformer

    model = SwinTransformer(
        img_size=size,
        embed_dim=arch.embed_dims,
        depths=arch.depths,
        num_heads=arch.num_heads,
        window_size=window,
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


def mmaction2(arch: Arch, window: Sequence[int]) -> tuple[nn.Module, Maps]:
    """mmaction2's SwinTransformer3D (Video Swin, arXiv 2106.13230), with output norms."""
    from mmaction.models.backbones import SwinTransformer3D

    model = SwinTransformer3D(
        dict(
            embed_dims=arch.embed_dims,
            depths=list(arch.depths),
            num_heads=list(arch.num_heads),
        ),
        pretrained2d=False,
        window_size=tuple(window),
        drop_path_rate=0.0,
        out_indices=tuple(range(len(arch.depths))),
    )
    return model, model


IMAGE_PEERS = {'mmdet': mmdet, 'hf': hf, 'timm': timm}
VIDEO_PEERS = {'mmaction2': mmaction2}
WITH_OUTPUT_NORMS = ('mmdet', 'mmaction2')
