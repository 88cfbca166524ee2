"""The building blocks of Swin Transformers, for maps with any number of axes.

Legend: B batch, S... spatial axes, C channels; maps are channels-last, (B, S..., C).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

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
    """Attention and an MLP, each on a residual branch; subclasses differ in where norms are.

    Their norms have different names, so that weights of one kind do not load into another. The
    names of `ResPostNormBlock` are those of the official V2, and only those are `norm1`, `norm2`.

    Args:
        attn: Attention within windows.
        embed_dims: Channels.
        drop_path_rate: Stochastic depth rate of both branches.
        extra_norm: Add the norm on the main branch that H and G have every 6 blocks.
        norm_eps: Epsilon of all norms.
    """

    norms: ClassVar[tuple[str, ...]]  # names of the norms of a branch, without its number

    def __init__(
        self,
        attn: WindowAttention,
        embed_dims: int,
        drop_path_rate: float,
        extra_norm: bool,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.attn = attn
        self._add_norms(1, embed_dims, norm_eps)
        self.mlp = Mlp(embed_dims)
        self._add_norms(2, embed_dims, norm_eps)
        self.norm3 = nn.LayerNorm(embed_dims, norm_eps) if extra_norm else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    def _add_norms(self, branch: int, embed_dims: int, norm_eps: float) -> None:
        for name in self.norms:
            self.add_module(f'{name}{branch}', nn.LayerNorm(embed_dims, norm_eps))

    def reset_norms(self) -> None:
        """Initialize the norms where their defaults, 1 and 0, are not meant."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> (B, S..., C)"""
        raise NotImplementedError


class ResPostNormBlock(SwinBlock):
    """V2 (section 3.2): each residual branch ends with its norm."""

    norms = ('norm',)
    norm1: nn.LayerNorm
    norm2: nn.LayerNorm

    def reset_norms(self) -> None:
        """Zeros, like the official code: each block starts as the identity."""
        for norm in (self.norm1, self.norm2):
            nn.init.zeros_(norm.weight)
            nn.init.zeros_(norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> (B, S..., C)"""
        x = x + self.drop_path(self.norm1(self.attn(x)))
        x = x + self.drop_path(self.norm2(self.mlp(x)))
        return self.norm3(x)


class PreNormBlock(SwinBlock):
    """V1: each residual branch starts with its norm."""

    norms = ('pre_norm',)
    pre_norm1: nn.LayerNorm
    pre_norm2: nn.LayerNorm

    def forward(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> (B, S..., C)"""
        x = x + self.drop_path(self.attn(self.pre_norm1(x)))
        x = x + self.drop_path(self.mlp(self.pre_norm2(x)))
        return self.norm3(x)


class PostNormBlock(SwinBlock):
    """The original Transformer (Table 7): the norms are on the main branch, after each addition."""

    norms = ('post_norm',)
    post_norm1: nn.LayerNorm
    post_norm2: nn.LayerNorm

    def forward(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> (B, S..., C)"""
        x = self.post_norm1(x + self.drop_path(self.attn(x)))
        x = self.post_norm2(x + self.drop_path(self.mlp(x)))
        return self.norm3(x)


class SandwichBlock(SwinBlock):
    """Sandwich norm (CogView, Table 7): each residual branch starts and ends with a norm."""

    norms = ('pre_norm', 'norm')
    pre_norm1: nn.LayerNorm
    norm1: nn.LayerNorm
    pre_norm2: nn.LayerNorm
    norm2: nn.LayerNorm

    def forward(self, x: Tensor) -> Tensor:
        """(B, S..., C) -> (B, S..., C)"""
        x = x + self.drop_path(self.norm1(self.attn(self.pre_norm1(x))))
        x = x + self.drop_path(self.norm2(self.mlp(self.pre_norm2(x))))
        return self.norm3(x)


BLOCKS: dict[str, type[SwinBlock]] = {
    'res-post-norm': ResPostNormBlock,
    'pre-norm': PreNormBlock,
    'post-norm': PostNormBlock,
    'sandwich': SandwichBlock,
}


class PatchEmbed(nn.Module):
    """Linear embedding of non-overlapping patches: (B, C', S'...) -> (B, S..., C).

    The input is zero-padded at its ends to whole patches.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        patch_size: tuple[int, ...],
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        conv: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(patch_size) - 1]
        self.patch_size = patch_size
        self.proj: nn.Conv1d | nn.Conv2d | nn.Conv3d = conv(
            in_channels, embed_dims, kernel_size=patch_size, stride=patch_size
        )
        self.norm = nn.LayerNorm(embed_dims, norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        pads = [(p - s % p) % p for s, p in zip(static_sizes(x.shape[2:]), self.patch_size)]
        if any(pads):
            x = F.pad(x, [p for pad in reversed(pads) for p in (0, pad)])
        x = self.proj(x)
        # Not movedim: torch's TorchScript exporter to ONNX mistranslates negative axes of it.
        return self.norm(x.permute(0, *range(2, x.dim()), 1))


def merge_neighbors(x: Tensor) -> Tensor:
    """(B, ..., H, W, C) -> (B, ..., ceil(H/2), ceil(W/2), 4C)

    Odd maps are zero-padded at their ends. Channels are ordered as in the official code:
    (0, 0), (1, 0), (0, 1), (1, 1).
    """
    height, width = static_sizes(x.shape[-3:-1])
    if height % 2 or width % 2:
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    even, odd = x[..., 0::2, :, :], x[..., 1::2, :, :]
    return torch.cat([p[..., start::2, :] for start in (0, 1) for p in (even, odd)], dim=-1)


class PatchMerging(nn.Module):
    """Join 2 x 2 neighbors along the last two axes (video keeps its frames), C -> 2C.

    As in V2, the norm is after the reduction.
    """

    def __init__(self, embed_dims: int, norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * embed_dims, 2 * embed_dims, bias=False)
        self.norm = nn.LayerNorm(2 * embed_dims, norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., H, W, C) -> (B, ..., ceil(H/2), ceil(W/2), 2C)"""
        return self.norm(self.reduction(merge_neighbors(x)))


class PreNormPatchMerging(PatchMerging):
    """Patch merging of V1: the norm, of 4C channels, is before the reduction."""

    def __init__(self, embed_dims: int, norm_eps: float = 1e-5) -> None:
        super().__init__(embed_dims, norm_eps)
        self.norm = nn.LayerNorm(4 * embed_dims, norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., H, W, C) -> (B, ..., ceil(H/2), ceil(W/2), 2C)"""
        return self.reduction(self.norm(merge_neighbors(x)))


PATCH_MERGINGS: dict[str, type[PatchMerging]] = {
    'post-norm': PatchMerging,
    'pre-norm': PreNormPatchMerging,
}


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
