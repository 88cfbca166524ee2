"""Box-to-pixel relative position bias (BoxRPB) of Plain-DETR."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...models.precision import without_autocast


class BoxRPB(nn.Module):
    """Bias of cross-attention from the offsets between a query's box and the pixels of the map.

    Section 4.1: bias(q, (x, y)) = MLP_x(x1 - x, x2 - x) + MLP_y(y1 - y, y2 - y) with the corners
    of the query's box and the centers of the cells in pixels. The decomposition needs W + H
    evaluations per query instead of W x H. Coordinates are linear, not log-spaced.

    Args:
        num_heads: Heads, each with its own bias.
        stride: Pixels per cell of the map.
        hidden_dims: Hidden channels of the MLPs.
    """

    def __init__(self, num_heads: int, stride: int, hidden_dims: int = 512) -> None:
        super().__init__()
        self.stride = stride
        # `cpb_mlp` in the names exempts the weights from weight decay, like those of log-CPB.
        self.cpb_mlp_x = _mlp(hidden_dims, num_heads)
        self.cpb_mlp_y = _mlp(hidden_dims, num_heads)

    def forward(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """Boxes (B, Q, 4) as (x1, y1, x2, y2) in pixels -> bias (B, nH, Q, H * W), fp32.

        Pixel coordinates need fp32 whatever autocast says. The hidden layers, (W + H) x
        `hidden_dims` per query, are recomputed in the backward pass.
        """
        with without_autocast(boxes):
            x = self._axis(self.cpb_mlp_x, boxes[..., 0::2], width)
            y = self._axis(self.cpb_mlp_y, boxes[..., 1::2], height)
            return (y[..., :, None] + x[..., None, :]).flatten(3)

    def _axis(self, mlp: nn.Module, ends: Tensor, size: int) -> Tensor:
        """(B, Q, 2) -> (B, nH, Q, size)"""
        cells = torch.arange(size, dtype=ends.dtype, device=ends.device)
        offsets = ends[:, :, None] - ((cells + 0.5) * self.stride)[:, None]
        if torch.is_grad_enabled():
            bias = checkpoint(mlp, offsets, use_reentrant=False, preserve_rng_state=False)
        else:
            bias = mlp(offsets)
        return bias.permute(0, 3, 1, 2)


def _mlp(hidden_dims: int, num_heads: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2, hidden_dims),
        nn.ReLU(inplace=True),
        nn.Linear(hidden_dims, num_heads, bias=False),
    )
