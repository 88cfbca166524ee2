"""Change the stride of a map by non-overlapping convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


class LayerNorm2d(nn.LayerNorm):
    """Norm over the channels of a map (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def rescaling(channels: Sequence[int], up: bool) -> nn.Module:
    """Halve or double the stride per step, with a norm and GELU between steps.

    Args:
        channels: Before the first and after each step; one number makes the identity.
        up: Halve the stride by transposed convolutions instead of doubling it.
    """
    kind = nn.ConvTranspose2d if up else nn.Conv2d
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip(channels, channels[1:])):
        if i:
            layers += [LayerNorm2d(before), nn.GELU()]
        layers.append(kind(before, after, kernel_size=2, stride=2))
    return nn.Sequential(*layers)


def steps_between(stride: int, target: int) -> int:
    """How often a stride is halved or doubled to reach the target.

    Raises:
        ValueError: Their ratio is not a power of two.
    """
    steps = abs(math.log2(target / stride))
    if not steps.is_integer():
        raise ValueError(f'stride {target} is not a power of two times stride {stride}')
    return int(steps)


@MODELS.register_module()
class MapUpsampling(BaseModule):
    """Maps of a backbone -> its last map at a finer stride, with half the channels per step.

    Args:
        in_channels: Channels of the last map.
        in_stride: Its stride in pixels.
        out_stride: Stride of the result, `in_stride` divided by a power of two.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int = 32,
        out_stride: int = 16,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        steps = steps_between(in_stride, out_stride)
        self.upsample = rescaling([in_channels >> i for i in range(steps + 1)], up=True)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        """(..., (B, C, H, W)) -> ((B, C / 2**n, 2**n H, 2**n W),)"""
        return (self.upsample(maps[-1]),)
