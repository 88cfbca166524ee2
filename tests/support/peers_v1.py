"""Make random models of Swin V1 with other libraries and save what they compute.

With the libraries on PYTHONPATH, `python tests/support/peers_v1.py OUT` writes OUT/LIBRARY.pth as
each library does, and OUT/LIBRARY_features.pth: an input and the maps of all stages. It is a
separate process because torchvision changes what transformers and mmaction2 import.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from swinv2_dense.benchmark.peers import without_torchvision_operators

DEPTHS, HEADS, DIMS, WINDOW = (2, 2, 2), (1, 2, 4), 16, 4
VIDEO_WINDOW = (2, 4, 4)


def randomized(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.eval()
    return model


def timm(x: torch.Tensor) -> tuple[dict, list]:
    from timm.models.swin_transformer import SwinTransformer

    model = randomized(
        SwinTransformer(
            img_size=128,
            embed_dim=DIMS,
            depths=DEPTHS,
            num_heads=HEADS,
            window_size=WINDOW,
            num_classes=5,
        )
    )
    maps, x = [], model.patch_embed(x)
    for stage in model.layers:
        x = stage(x)
        maps.append(x.movedim(-1, 1))
    return model.state_dict(), maps


def _sequential(features: nn.Sequential, x: torch.Tensor, first: int) -> list:
    """Maps of torchvision's list of blocks and patch merging; the first blocks are `first`."""
    maps = []
    for i, layer in enumerate(features):
        x = layer(x)
        if i % 2 == first:
            maps.append(x.movedim(-1, 1))
    return maps


def torchvision(x: torch.Tensor) -> tuple[dict, list]:
    from torchvision.models.swin_transformer import SwinTransformer

    model = randomized(SwinTransformer([4, 4], DIMS, list(DEPTHS), list(HEADS), [WINDOW] * 2))
    return model.state_dict(), _sequential(model.features, x, 1)


def torchvision_video(x: torch.Tensor) -> tuple[dict, list]:
    from torchvision.models.video.swin_transformer import SwinTransformer3d

    x = torch.stack([x, x.flip(2), x.flip(3), x.mT], dim=2)
    model = randomized(
        SwinTransformer3d([2, 4, 4], DIMS, list(DEPTHS), list(HEADS), list(VIDEO_WINDOW))
    )
    return model.state_dict(), _sequential(model.features, model.patch_embed(x), 0)


def mmpretrain(x: torch.Tensor) -> tuple[dict, list]:
    # Its vision-language models import classes that transformers 5 has removed.
    sys.modules['mmpretrain.models.multimodal'] = ModuleType('multimodal')
    from mmpretrain.models.backbones import SwinTransformer

    model = nn.Module()
    model.backbone = randomized(
        SwinTransformer(
            dict(embed_dims=DIMS, depths=list(DEPTHS), num_heads=list(HEADS)),
            img_size=128,
            window_size=WINDOW,
            out_indices=(0, 1, 2),
        )
    )
    return dict(state_dict=model.state_dict(), meta={}), list(model.backbone(x))


LIBRARIES = (timm, torchvision, torchvision_video, mmpretrain)

if __name__ == '__main__':
    folder = Path(sys.argv[1])
    without_torchvision_operators()
    image = torch.linspace(-2, 2, 3 * 128 * 128).sin().view(1, 3, 128, 128)
    for library in LIBRARIES:
        torch.manual_seed(0)
        with torch.no_grad():
            state, features = library(image)
        torch.save(state, folder / f'{library.__name__}.pth')
        torch.save([image, *features], folder / f'{library.__name__}_features.pth')
