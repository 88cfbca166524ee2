"""Sine encodings of cells and boxes."""

from __future__ import annotations

import math

import torch
from mmdet.models.layers import SinePositionalEncoding
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class CellSinePositionalEncoding(SinePositionalEncoding):
    """mmdet's sine encoding of the centers of cells, also without normalization.

    mmdet's has neither offset nor scale without normalization. In the released code of Plain-DETR,
    cell i of n is at 2 pi (i + 0.5) / n with normalization and at 2 pi (i + 0.5) without.

    Args:
        num_feats: Channels per axis.
        normalize: Divide by the number of cells that are not padding.
    """

    def __init__(self, num_feats: int, normalize: bool = True) -> None:
        super().__init__(num_feats, normalize=normalize, offset=-0.5)

    def forward(self, mask: Tensor, input: Tensor | None = None) -> Tensor:
        """Padding mask (B, H, W), True where padded -> (B, 2 * num_feats, H, W), y before x."""
        if self.normalize:
            return super().forward(mask, input)
        centers = torch.stack([(~mask).cumsum(axis) for axis in (1, 2)], -1) + self.offset
        return sine(centers, self.num_feats, self.temperature).permute(0, 3, 1, 2)


def sine(positions: Tensor, num_feats: int, temperature: float = 10000.0) -> Tensor:
    """(..., n) -> (..., n * num_feats): sine and cosine of 2 pi p at falling frequencies."""
    exponents = torch.arange(num_feats, device=positions.device) // 2 * (2 / num_feats)
    angles = positions[..., None] * 2 * math.pi / temperature**exponents
    pairs = torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], -1)
    return pairs.flatten(-3)
