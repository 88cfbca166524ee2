"""Multiply-accumulates and training memory of a segmentor, per module, from shapes.

As for detectors, the modules run on tensors without storage; elementwise operations and resizing
are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from . import counts
from .detectors import FAKE, ModuleCosts

IMAGES = 2  # per training batch: global pooling leaves one pixel per image, too few for batch norm
HEADS = ('decode_head', 'auxiliary_head')


def segmentor_parts(
    model: nn.Module, test_size: Sequence[int], train_size: Sequence[int]
) -> list[ModuleCosts]:
    """Costs of `model`, mmseg's `EncoderDecoder` on the meta device, at sizes (H, W) in pixels.

    `test_size` is the input of one forward pass; in a sliding test, a window. Parameters become
    fake CPU tensors, as in `detector_parts`.
    """
    params = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in model.named_children()
        if name in ('backbone', *HEADS)
    }
    macs = _macs(model.eval(), test_size)
    with FAKE:
        model._apply(lambda t: torch.empty(t.shape, dtype=t.dtype))
    kept = dict(_kept(model.train(), train_size))
    return [ModuleCosts(name, params[name], macs.get(name, 0), *kept[name]) for name in params]


def _macs(model: nn.Module, size: Sequence[int]) -> dict[str, int]:
    """MACs of a test, which does not use the auxiliary head."""
    image = torch.empty(1, 3, *size, device='meta')
    with torch.no_grad():
        maps = model.backbone(image)
        with FlopCounterMode(display=False) as counter:
            model.decode_head(maps)
    backbone = sum(part.macs for part in counts.count(model.backbone, size))
    return dict(backbone=backbone, decode_head=counter.get_total_flops() // 2)


def _kept(model: nn.Module, size: Sequence[int]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Bytes per training image, and of the largest tensor."""
    with FAKE:
        image = torch.empty(IMAGES, 3, *size)
        labels = torch.zeros(IMAGES, *size, dtype=torch.long)
    kept = counts.Kept(model)

    def found() -> tuple[int, int]:
        taken = kept.take() // IMAGES, kept.largest // IMAGES
        kept.largest = 0
        return taken

    with torch.enable_grad(), kept.hooks:
        maps = [m.detach().requires_grad_() for m in model.backbone(image)]
        yield 'backbone', found()
        for name in HEADS:
            head = getattr(model, name, None)
            if head is not None:
                _loss(head, maps, labels)
                yield name, found()


def _loss(head: nn.Module, maps: Sequence[Tensor], labels: Tensor) -> Tensor:
    """The loss as mmseg's heads compute it, at the size of the labels."""
    logits = F.interpolate(
        head(maps), labels.shape[1:], mode='bilinear', align_corners=head.align_corners
    )
    return F.cross_entropy(logits, labels, ignore_index=head.ignore_index, reduction='none')
