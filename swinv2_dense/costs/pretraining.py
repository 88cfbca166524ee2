"""Multiply-accumulates and training memory of SimMIM, per module, from shapes.

As for detectors, the modules run on tensors without storage; elementwise operations and the
normalization of the targets are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from . import counts
from .detectors import FAKE, ModuleCosts

PARTS = ('backbone', 'decoder')


def simmim_parts(
    model: nn.Module, test_size: Sequence[int], train_size: Sequence[int]
) -> list[ModuleCosts]:
    """Costs of `model`, a `SimMIM` on the meta device, at sizes (H, W) or (T, H, W) in pixels.

    The decoder includes the mask token, the prediction and the loss. Parameters become fake CPU
    tensors, as in `detector_parts`.
    """
    params = {name: sum(p.numel() for p in getattr(model, name).parameters()) for name in PARTS}
    params['decoder'] += model.mask_token.numel()
    macs = _macs(model.eval(), test_size)
    with FAKE:
        model._apply(lambda t: torch.empty(t.shape, dtype=t.dtype))
    kept = _kept(model.train(), train_size)
    return [ModuleCosts(name, params[name], macs[name], *kept[name]) for name in PARTS]


def _macs(model: nn.Module, size: Sequence[int]) -> dict[str, int]:
    image = torch.empty(1, 3, *size, device='meta')
    with torch.no_grad():
        features = _features(model, image)
        with FlopCounterMode(display=False) as counter:
            model.decoder(features)
    backbone = sum(part.macs for part in counts.count(model.backbone, size))
    return dict(backbone=backbone, decoder=counter.get_total_flops() // 2)


def _kept(model: nn.Module, size: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Bytes per training image, and of the largest tensor."""
    with FAKE:
        image = torch.empty(1, 3, *size)
        pixels = torch.empty(1, 1, *size)
    kept = counts.Kept(model)
    with torch.enable_grad(), kept.hooks:
        features = _features(model, image).detach().requires_grad_()
        backbone = kept.take(), kept.largest
        kept.largest = 0
        ((model.decode(features) - image).abs() * pixels).sum()
    return dict(backbone=backbone, decoder=(kept.take(), kept.largest))


def _features(model: nn.Module, image: Tensor) -> Tensor:
    """The map of the last stage, (B, C, M...)."""
    (features,) = model.backbone.forward_tokens(model.backbone.patch_embed(image))
    return features
