"""Multiply-accumulates and training memory of a video recognizer, per module, from shapes.

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

PARTS = ('backbone', 'cls_head')


def recognizer_parts(
    model: nn.Module, view: Sequence[int], clip: Sequence[int]
) -> list[ModuleCosts]:
    """Costs of `model`, mmaction2's `Recognizer3D` on the meta device.

    MACs are per test view, kept bytes per training clip. A test with several views per video costs
    as many times the MACs. Parameters become fake CPU tensors, as in `detector_parts`.

    Args:
        model: The recognizer.
        view: Input (T, H, W) of a test view, in frames and pixels.
        clip: Input (T, H, W) of training.
    """
    params = {name: sum(p.numel() for p in getattr(model, name).parameters()) for name in PARTS}
    macs = _macs(model.eval(), view)
    with FAKE:
        model._apply(lambda t: torch.empty(t.shape, dtype=t.dtype))
    kept = _kept(model.train(), clip)
    return [ModuleCosts(name, params[name], macs[name], *kept[name]) for name in PARTS]


def _macs(model: nn.Module, view: Sequence[int]) -> dict[str, int]:
    with torch.no_grad():
        maps = model.backbone(torch.empty(1, 3, *view, device='meta'))
        with FlopCounterMode(display=False) as counter:
            model.cls_head(maps)
    backbone = sum(part.macs for part in counts.count(model.backbone, view))
    return dict(backbone=backbone, cls_head=counter.get_total_flops() // 2)


def _kept(model: nn.Module, clip: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Bytes per clip, up to the scores of the head, and of the largest tensor."""
    with FAKE:
        inputs = torch.empty(1, 3, *clip)
    kept = counts.Kept(model)
    with torch.enable_grad(), kept.hooks:
        maps = model.backbone(inputs).detach().requires_grad_()
        backbone = kept.take(), kept.largest
        kept.largest = 0
        model.cls_head(maps)
    return dict(backbone=backbone, cls_head=(kept.take(), kept.largest))
