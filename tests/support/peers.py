"""Make random SwinV2 models with other libraries and save what they compute.

With the library on PYTHONPATH, `python tests/support/peers.py timm|torchvision|mmpretrain OUT`
writes OUT/model.pth as the library does, and OUT/features.pth: an image, the maps of the four
stages and the logits of a classifier. It is a separate process because torchvision changes what
transformers and mmaction2 import.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from swinv2_dense.arguments import Arch
from swinv2_dense.benchmark.peers import mmpretrain, timm, without_torchvision_operators

IMAGE, CLASSES = 128, 7
DEPTHS, HEADS, DIMS, WINDOW, PRETRAINED_WINDOWS = (2, 2, 2, 2), (1, 2, 4, 8), 16, 4, (3, 3, 3, 2)
ARCH = Arch(DIMS, DEPTHS, HEADS, extra_norm_every=2)


def randomize(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'logit_scale' not in name:
                parameter.normal_(std=0.2)
    model.eval()
    return model


def timm_model() -> tuple[torch.nn.Module, list]:
    model, maps = timm(ARCH, IMAGE, WINDOW, PRETRAINED_WINDOWS)
    model.reset_classifier(CLASSES)
    randomize(model)
    return model, [*maps(image()), model(image())]


def torchvision_model() -> tuple[torch.nn.Module, list]:
    without_torchvision_operators()
    from torchvision.models.swin_transformer import (
        PatchMergingV2,
        SwinTransformer,
        SwinTransformerBlockV2,
    )

    model = randomize(
        SwinTransformer(
            patch_size=[4, 4],
            embed_dim=DIMS,
            depths=list(DEPTHS),
            num_heads=list(HEADS),
            window_size=[WINDOW, WINDOW],
            block=SwinTransformerBlockV2,
            downsample_layer=PatchMergingV2,
            num_classes=CLASSES,
        )
    )
    x, maps = image(), []
    for i, layer in enumerate(model.features):
        x = layer(x)
        if i % 2:
            maps.append(x.movedim(-1, 1))
    return model, [*maps, model(image())]


def mmpretrain_model() -> tuple[torch.nn.Module, list]:
    backbone, maps = mmpretrain(ARCH, IMAGE, WINDOW, PRETRAINED_WINDOWS)
    from mmpretrain.models.heads import LinearClsHead
    from mmpretrain.models.necks import GlobalAveragePooling

    model, pool = torch.nn.Module(), GlobalAveragePooling()
    model.backbone, model.head = backbone, LinearClsHead(CLASSES, DIMS * 8)
    randomize(model)
    outs = maps(image())
    return model, [*outs, model.head(pool(tuple(outs[-1:])))]


def image() -> torch.Tensor:
    return torch.linspace(-2, 2, 3 * IMAGE * IMAGE).sin().view(1, 3, IMAGE, IMAGE)


if __name__ == '__main__':
    library, folder = sys.argv[1], Path(sys.argv[2])
    torch.manual_seed(0)
    with torch.no_grad():
        made, features = globals()[f'{library}_model']()
        state = made.state_dict()
        if library == 'mmpretrain':
            state = dict(state_dict=state, meta={})
        torch.save(state, folder / 'model.pth')
        torch.save([image(), *features], folder / 'features.pth')
