"""The building blocks of Swin Transformer V2, for maps with any number of axes.

Legend: B batch, S... spatial axes, C channels; maps are channels-last, (B, S..., C).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .mlp import Mlp
from .tracing import static_sizes
from .window_attention import WindowAttention


class DropPath(nn.Module):
    """Drop a residual branch per sample with probability `rate` (stochastic depth)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.dim() - 1)).bernoulli_(keep)
        return x * mask / keep

    def extra_repr(self) -> str:
        return f'rate={self.rate:.3f}'


class SwinBlock(nn.Module):
    """Res-post-norm block (section 3.2): each residual branch ends with its norm.

    `extra_norm` adds the norm on the main branch that H and G have every 6 blocks.
    """

    def __init__(
        self, attn: WindowAttention, embed_dims: int, drop_path_rate: float, extra_norm: bool
    ) -> None:
        super().__init__()
        self.attn = attn
        self.norm1 = nn.LayerNorm(embed_dims)
        self.mlp = Mlp(embed_dims)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.norm3 = nn.LayerNorm(embed_dims) if extra_norm else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> (B, S..., C)"""
        x = x + self.drop_path(self.norm1(self.attn(x)))
        x = x + self.drop_path(self.norm2(self.mlp(x)))
        return self.norm3(x)


class PatchEmbed(nn.Module):
    """Linear embedding of non-overlapping patches: (B, C', S'...) -> (B, S..., C).

    The input is zero-padded at its ends to whole patches.
    """

    def __init__(self, in_channels: int, embed_dims: int, patch_size: tuple[int, ...]) -> None:
        super().__init__()
        conv: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(patch_size) - 1]
        self.patch_size = patch_size
        self.proj: nn.Conv1d | nn.Conv2d | nn.Conv3d = conv(
            in_channels, embed_dims, kernel_size=patch_size, stride=patch_size
        )
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        pads = [(p - s % p) % p for s, p in zip(static_sizes(x.shape[2:]), self.patch_size)]
        if any(pads):
            x = F.pad(x, [p for pad in reversed(pads) for p in (0, pad)])
        x = self.proj(x)
        # Not movedim: torch's TorchScript exporter to ONNX mistranslates negative axes of it.
        return self.norm(x.permute(0, *range(2, x.dim()), 1))


class PatchMerging(nn.Module):
    """Join 2 x 2 neighbors along the last two axes (video keeps its frames), C -> 2C.

    Odd maps are zero-padded at their ends. Channels are ordered as in the official code:
    (0, 0), (1, 0), (0, 1), (1, 1).
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * embed_dims, 2 * embed_dims, bias=False)
        self.norm = nn.LayerNorm(2 * embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., H, W, C) -> (B, ..., ceil(H/2), ceil(W/2), 2C)"""
        height, width = static_sizes(x.shape[-3:-1])
        if height % 2 or width % 2:
            x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        even, odd = x[..., 0::2, :, :], x[..., 1::2, :, :]
        x = torch.cat([p[..., start::2, :] for start in (0, 1) for p in (even, odd)], dim=-1)
        return self.norm(self.reduction(x))


class Stage(nn.Module):
    """Blocks at one resolution, then patch merging unless it is the last stage."""

    def __init__(self, blocks: Sequence[SwinBlock], downsample: PatchMerging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def attentions(self) -> list[WindowAttention]:
        """The attention of every block."""
        return [cast(SwinBlock, block).attn for block in self.blocks]

    def forward(self, x: Tensor, with_cp: bool) -> tuple[Tensor, Tensor]:
        """The map at this stage's resolution, and the input of the next stage."""
        for block in self.blocks:
            if with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x, x if self.downsample is None else self.downsample(x)
