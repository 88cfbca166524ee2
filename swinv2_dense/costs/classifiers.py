"""Multiply-accumulates and training memory of an image classifier, per module, from shapes.

As for detectors, the modules run on tensors without storage; elementwise operations and pooling are
not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from . import counts
from .detectors import FAKE, ModuleCosts

PARTS = ('backbone', 'head')


def classifier_parts(
    model: nn.Module, test_size: Sequence[int], train_size: Sequence[int]
) -> list[ModuleCosts]:
    """Costs of `model`, an `ImageClassifier` on the meta device, at sizes (H, W) in pixels.

    MACs are per test image, kept bytes per training image. Parameters become fake CPU tensors, as
    in `detector_parts`.
    """
    params = {name: sum(p.numel() for p in getattr(model, name).parameters()) for name in PARTS}
    model.eval()
    with torch.no_grad():
        maps = model.backbone(torch.empty(1, 3, *test_size, device='meta'))
        with FlopCounterMode(display=False) as counter:
            model.head(maps)
    macs = dict(
        backbone=sum(part.macs for part in counts.count(model.backbone, test_size)),
        head=counter.get_total_flops() // 2,
    )
    with FAKE:
        model._apply(lambda t: torch.empty(t.shape, dtype=t.dtype))
    kept = _kept(model.train(), train_size)
    return [ModuleCosts(name, params[name], macs[name], *kept[name]) for name in PARTS]


def _kept(model: nn.Module, size: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Bytes per image, up to the logits of the head, and of the largest tensor."""
    with FAKE:
        image = torch.empty(1, 3, *size)
    kept = counts.Kept(model)
    with torch.enable_grad(), kept.hooks:
        maps = [m.detach().requires_grad_() for m in model.backbone(image)]
        backbone = kept.take(), kept.largest
        kept.largest = 0
        model.head(maps)
    return dict(backbone=backbone, head=(kept.take(), kept.largest))
