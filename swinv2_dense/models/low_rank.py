"""Linear layers with a low-rank adapter (LoRA, arXiv 2106.09685)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints.low_rank import DOWN, UP


class LowRankLinear(nn.Linear):
    """A linear layer with the weight W + up @ down, equation 3 of the paper.

    `down` (rank, in) is random and `up` (out, rank) zero, so that training starts from W. There is
    no factor alpha / rank: with AdamW, it does what the learning rate does.

    Args:
        layer: What to adapt; its parameters are used, not copied.
        rank: Rank of the product.
    """

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        has_bias = layer.bias is not None
        super().__init__(layer.in_features, layer.out_features, has_bias, device='meta')
        self._parameters.update(layer._parameters)
        down = torch.empty(rank, layer.in_features)
        self.register_parameter(DOWN, nn.Parameter(down))
        self.register_parameter(UP, nn.Parameter(torch.zeros(layer.out_features, rank)))
        nn.init.kaiming_uniform_(down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)"""
        return F.linear(x, full_weight(self), self.bias)


def full_weight(layer: nn.Linear) -> Tensor:
    """The weight (out, in) that a layer multiplies with, with its adapter if it has one."""
    if not isinstance(layer, LowRankLinear):
        return layer.weight
    return layer.weight + getattr(layer, UP) @ getattr(layer, DOWN)
