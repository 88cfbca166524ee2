"""Make random SwinV2 models with other libraries and save what they compute.

python tests/peers.py timm|torchvision|mmpretrain OUT, with the library on PYTHONPATH, writes OUT/
model.pth as the library does and OUT/features.pth: an image and the maps of the four stages. A
process of its own, because installing torchvision changes what transformers and mmaction2 import.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import torch

# The registry has torchvision with CUDA operators only, which cannot be loaded beside a CPU build
# of torch; registering their shapes is what fails. SwinV2 uses none of them.
sys.modules['torchvision._meta_registrations'] = ModuleType('torchvision._meta_registrations')

IMAGE = 128
DEPTHS, HEADS, DIMS, WINDOW, DIVISORS = (2, 2, 2, 2), (1, 2, 4, 8), 16, 4, (3, 3, 3, 2)


def randomise(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'logit_scale' not in name:
                parameter.normal_(std=0.2)
    model.eval()
    return model


def timm_model() -> tuple[torch.nn.Module, list]:
    from timm.models.swin_transformer_v2 import SwinTransformerV2

    model = randomise(
        SwinTransformerV2(
            img_size=IMAGE,
            embed_dim=DIMS,
            depths=DEPTHS,
            num_heads=HEADS,
            window_size=WINDOW,
            pretrained_window_sizes=DIVISORS,
        )
    )
    x, maps = model.patch_embed(image()), []
    for stage in model.layers:
        x = stage(x)
        maps.append(x.movedim(-1, 1))
    return model, maps


def torchvision_model() -> tuple[torch.nn.Module, list]:
    from torchvision.models.swin_transformer import (
        PatchMergingV2,
        SwinTransformer,
        SwinTransformerBlockV2,
    )

    model = randomise(
        SwinTransformer(
            patch_size=[4, 4],
            embed_dim=DIMS,
            depths=list(DEPTHS),
            num_heads=list(HEADS),
            window_size=[WINDOW, WINDOW],
            block=SwinTransformerBlockV2,
            downsample_layer=PatchMergingV2,
        )
    )
    x, maps = image(), []
    for i, layer in enumerate(model.features):
        x = layer(x)
        if i % 2:
            maps.append(x.movedim(-1, 1))
    return model, maps


def mmpretrain_model() -> tuple[torch.nn.Module, list]:
    # Its vision-language models name classes that transformers 5 no longer has.
    sys.modules['mmpretrain.models.multimodal'] = ModuleType('multimodal')
    from mmpretrain.models.backbones import SwinTransformerV2

    arch = dict(embed_dims=DIMS, depths=DEPTHS, num_heads=HEADS, extra_norm_every_n_blocks=2)
    backbone = randomise(
        SwinTransformerV2(
            arch,
            img_size=IMAGE,
            window_size=[WINDOW] * 4,
            pretrained_window_sizes=list(DIVISORS),
            out_indices=(0, 1, 2, 3),
        )
    )
    model = torch.nn.Module()
    model.backbone, model.head = backbone, torch.nn.Linear(1, 1)
    return model, list(backbone(image()))


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
