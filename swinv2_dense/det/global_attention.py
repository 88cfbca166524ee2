"""HTC++'s extra self-attention layer over the whole last map of a backbone."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn.bricks import DropPath
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..models.fused_attention import fused_attention


@MODELS.register_module()
class GlobalAttention(BaseModule):
    """Maps (B, C_i, H_i, W_i) -> the same maps; applies global self-attention to the last one.

    The layer that HTC++ appends to the last stage (Swin V1, arXiv 2103.14030, appendix A2.2). Its
    code was not released. We assume a pre-norm layer without position bias, an MLP of ratio 4 and a
    final norm: with these HTC++ has the published 160 M (Swin-B) and 284 M (Swin-L) parameters,
    without the MLP 151 M and 265 M. Fused attention keeps the memory linear in the number of
    positions.

    A neck before the FPN: `neck=[dict(type='GlobalAttention', ...), dict(type='FPN', ...)]`.

    Args:
        in_channels: Channels of the maps that the backbone returns, as for the FPN.
        num_heads: Must divide `in_channels[-1]`.
        drop_path_rate: Stochastic depth rate of both branches.

    Raises:
        ValueError: `num_heads` does not divide the channels of the last map.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_heads: int,
        drop_path_rate: float = 0.0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='TruncNormal', layer='Linear', std=0.02))
        dims = in_channels[-1]
        if num_heads < 1 or dims % num_heads:
            raise ValueError(
                f'num_heads={num_heads} must divide in_channels[-1]={dims}, the channels of the '
                'last map'
            )
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dims)
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)
        self.norm2 = nn.LayerNorm(dims)
        self.mlp = nn.Sequential(nn.Linear(dims, 4 * dims), nn.GELU(), nn.Linear(4 * dims, dims))
        self.norm = nn.LayerNorm(dims)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps from fine to coarse -> the same maps, the last one attended."""
        *others, last = maps
        x = last.flatten(2).transpose(1, 2)
        x = x + self.drop_path(self._attend(self.norm1(x)))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        x = self.norm(x).to(last.dtype)
        return *others, x.transpose(1, 2).reshape(last.shape)

    def _attend(self, x: Tensor) -> Tensor:
        """(B, N, C) -> the same: multi-head self-attention of all N positions."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(fused_attention(q, k, v).transpose(1, 2).flatten(2))
