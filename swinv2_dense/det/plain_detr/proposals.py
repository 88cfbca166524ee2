"""Proposals on several strides, made from one map (two-stage DETR)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from .upsampling import rescaling, steps_between


class Proposals(NamedTuple):
    """Anchors and features of all levels, one after the other; Q positions."""

    features: Tensor  # (B, Q, C)
    anchors: Tensor  # (B, Q, 4), as the box coordinates decode them
    inside: Tensor  # (B, Q), False where the map is padding


class MultiStrideProposals(BaseModule):
    """One map -> a feature and an anchor per cell of maps at several strides.

    The map is brought to each stride by convolutions that do not overlap, so a cell of an image
    depends on no padding around it.

    Args:
        embed_dims: Channels.
        map_stride: Pixels per cell of the map.
        strides: Of the levels, each `map_stride` times a power of two, finest first.
        coordinates: `NormalizedBoxes` or `PixelBoxes`.
    """

    def __init__(
        self, embed_dims: int, map_stride: int, strides: Sequence[int], coordinates: Any
    ) -> None:
        super().__init__()
        self.coordinates = coordinates
        self.levels = nn.ModuleList()
        for stride in strides:
            steps = steps_between(map_stride, stride)
            self.levels.append(rescaling([embed_dims] * (steps + 1), up=stride < map_stride))
        self.map_stride, self.strides = map_stride, tuple(strides)
        self.linear = nn.Linear(embed_dims, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, x: Tensor, cells: Tensor) -> Proposals:
        """Map (B, C, H, W), and how many of its (w, h) cells are not padding, (B, 2)."""
        features, anchors, inside, used = [], [], [], []
        for level, stride in enumerate(self.strides):
            resized = self.levels[level](x).flatten(2).transpose(1, 2)
            height, width = (side * self.map_stride // stride for side in x.shape[2:])
            own = cells * self.map_stride // stride
            grid = _grid(height, width, x.device)
            extents = cells * self.map_stride
            found = self.coordinates.anchors(grid + 0.5, own, stride, level, extents)
            features.append(resized)
            inside.append((grid < own[:, None]).all(-1))
            anchors.append(found[0])
            used.append(found[1])
        all_inside = torch.cat(inside, 1)
        kept = (torch.cat(used, 1) & all_inside)[..., None]
        return Proposals(
            self.norm(self.linear(torch.cat(features, 1) * kept)),
            torch.cat(anchors, 1),
            all_inside,
        )


def _grid(height: int, width: int, device: torch.device) -> Tensor:
    """(x, y) of all cells in rows, (H * W, 2)."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing='ij'
    )
    return torch.stack([x, y], -1).flatten(0, 1)
