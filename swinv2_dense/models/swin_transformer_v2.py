"""Swin Transformer V2 (arXiv 2111.09883) as a hierarchical backbone for images and video.

One implementation serves any number of axes: the rank is the length of `patch_size` and
`window_size`. Parameters are named as in the official checkpoints. Legend: B batch, S... spatial
axes, C channels; maps are channels-last inside and (B, C, S...) at the borders.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..arguments import arch_settings, out_stages, pretrained, stage_windows
from ..checkpoints.divisors import from_tables
from ..checkpoints.formats import DERIVED, METADATA_KEY
from ..checkpoints.loading import load_pretrained
from ..checkpoints.reading import CheckpointError
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


class Mlp(nn.Module):
    """Two linear layers with GELU between; the hidden layer has four times the channels."""

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dims, 4 * embed_dims)
        self.fc2 = nn.Linear(4 * embed_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Res-post-norm block (section 3.2): the norm closes each residual branch.

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

    The input is zero-padded at its end to whole patches.
    """

    def __init__(self, in_channels: int, embed_dims: int, patch_size: tuple[int, ...]) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(patch_size) - 1]
        self.patch_size = patch_size
        self.proj = conv(in_channels, embed_dims, kernel_size=patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        pads = [(p - s % p) % p for s, p in zip(x.shape[2:], self.patch_size)]
        if any(pads):
            x = F.pad(x, [p for pad in reversed(pads) for p in (0, pad)])
        return self.norm(self.proj(x).movedim(1, -1))


class PatchMerging(nn.Module):
    """Join 2 x 2 neighbours along the last two axes (video keeps its frames), C -> 2C.

    Odd maps are zero-padded at their end. Channels are ordered as in the official code:
    (0, 0), (1, 0), (0, 1), (1, 1).
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * embed_dims, 2 * embed_dims, bias=False)
        self.norm = nn.LayerNorm(2 * embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., H, W, C) -> (B, ..., ceil(H/2), ceil(W/2), 2C)"""
        height, width = x.shape[-3:-1]
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

    def forward(self, x: Tensor, with_cp: bool) -> tuple[Tensor, Tensor]:
        """Map at this stage's resolution, and the one that the next stage starts from."""
        for block in self.blocks:
            if with_cp and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x, x if self.downsample is None else self.downsample(x)


# torch < 2.3 has it in _dynamo only.
_is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._dynamo.is_compiling


@MODELS.register_module()
class SwinTransformerV2(BaseModule):
    """Swin Transformer V2 backbone for images: (B, 3, H, W) -> tuple of (B, C_i, H_i, W_i).

    Map i has the channels `embed_dims * 2**i` and the size ceil(H / (patch_size * 2**i)); images
    of any size are padded where needed. Each map passes an output norm `norm{i}`.

    Args:
        arch: 't', 's', 'b', 'l', 'h', 'g', or a dict with `embed_dims`, `depths`, `num_heads`
            and optionally `extra_norm_every` (blocks between norms on the main branch, 0: none).
        patch_size: Pixels per patch; an int or one per axis.
        window_size: Tokens per window. An int: all axes and stages. A tuple with one int per
            axis, (H, W): all stages. A list with one of these per stage. On maps smaller than
            the window, the window is the map.
        pretrained_window_sizes: Windows the weights were trained with, written as `window_size`;
            they scale the log-CPB offsets. Left out, a checkpoint brings them (also the
            checkpoints of later trainings), and without one they are `window_size`.
        drop_path_rate: Stochastic depth rate of the last block; rises linearly from 0.
        out_indices: Stages whose maps are returned. Later stages are not built.
        frozen_stages: k >= 0 freezes the patch embedding and the stages 0 to k-1.
        norm_eval: Keep norms in eval mode (LayerNorm computes the same in both).
        with_cp: Recompute each block's activations in the backward pass to save memory.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` loads a checkpoint of any known format
            from a path, a URL or `hf://owner/name`; see `load_pretrained` for `prefix` and
            `allow_missing`.
        in_channels: Channels of the image.

    Raises:
        ValueError: An argument, an input or a checkpoint does not fit.
    """

    rank = 2

    def __init__(
        self,
        arch: str | dict = 't',
        patch_size: int | Sequence[int] = 4,
        window_size: int | Sequence = 8,
        pretrained_window_sizes: int | Sequence | None = None,
        drop_path_rate: float = 0.1,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__(init_cfg)
        embed_dims, depths, num_heads, extra_norm_every = arch_settings(arch)
        windows = stage_windows('window_size', window_size, len(depths), self.rank)
        self.divisors_given = pretrained_window_sizes is not None
        divisors = windows
        if self.divisors_given:
            divisors = stage_windows(
                'pretrained_window_sizes', pretrained_window_sizes, len(depths), self.rank
            )
        self.out_indices = out_stages(out_indices, len(depths))
        if not -1 <= frozen_stages <= len(depths):
            raise ValueError(f'frozen_stages={frozen_stages} must be in -1..{len(depths)}')
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        if not isinstance(patch_size, int):
            patch_size = tuple(patch_size)
        (patch_size,) = stage_windows('patch_size', patch_size, 1, self.rank)
        self.patch_embed = PatchEmbed(in_channels, embed_dims, patch_size)
        rates = iter(_linear_rates(drop_path_rate, sum(depths)))
        self.num_stages = len(depths)
        self.extra_norm_every = extra_norm_every
        num_built = self.out_indices[-1] + 1
        self.layers = nn.ModuleList()
        self.num_features = [embed_dims * 2**i for i in range(num_built)]
        for i, dims in enumerate(self.num_features):
            blocks = [
                SwinBlock(
                    WindowAttention(dims, num_heads[i], windows[i], divisors[i], b % 2 == 1),
                    dims,
                    next(rates),
                    extra_norm=extra_norm_every > 0 and (b + 1) % extra_norm_every == 0,
                )
                for b in range(depths[i])
            ]
            self.layers.append(Stage(blocks, PatchMerging(dims) if i + 1 < num_built else None))
        for i in self.out_indices:
            self.add_module(f'norm{i}', nn.LayerNorm(self.num_features[i]))
        self._reset_parameters()
        self._freeze_stages()
        self._register_state_dict_hook(_write_divisors)
        self._register_load_state_dict_pre_hook(_read_divisors, with_module=True)

    @property
    def out_channels(self) -> list[int]:
        """Channels of the returned maps: the `in_channels` of a neck."""
        return [self.num_features[i] for i in self.out_indices]

    @property
    def pretrained_window_sizes(self) -> list[tuple[int, ...]]:
        """Windows per stage in tokens that the log-CPB offsets are divided by (less one)."""
        return [stage.blocks[0].attn.cpb_mlp.pretrained_window_size for stage in self.layers]

    def set_pretrained_window_sizes(self, divisors: Sequence, source: str) -> None:
        """Adopt the divisors that belong to weights from `source`, unless the config says others.

        Raises:
            CheckpointError: The config gives other divisors; both are named.
        """
        divisors = stage_windows('pretrained_window_sizes', list(divisors), None, self.rank)
        divisors = list(divisors[: len(self.layers)])
        if self.divisors_given and divisors != self.pretrained_window_sizes:
            raise CheckpointError(
                f'pretrained_window_sizes={self.pretrained_window_sizes} of the config '
                f'contradicts {source}, whose weights were trained with {divisors}. '
                'Leave the argument out: the checkpoint brings its own.'
            )
        for stage, divisor in zip(self.layers, divisors):
            for block in stage.blocks:
                block.attn.cpb_mlp.pretrained_window_size = divisor

    def init_weights(self) -> None:
        """Load `init_cfg=dict(type='Pretrained', ...)`; other initialisers are mmengine's."""
        settings = pretrained(self.init_cfg)
        if settings is not None:
            load_pretrained(self, *settings)
            self._is_init = True
        else:
            super().init_weights()

    def train(self, mode: bool = True) -> SwinTransformerV2:
        """Switch mode; frozen stages stay in eval mode, norms too with `norm_eval`."""
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.LayerNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> one (B, C_i, H_i, W_i) per entry of `out_indices`."""
        if x.dim() != self.rank + 2:
            raise ValueError(
                f'{type(self).__name__} takes {self.rank + 2} axes (batch, channels and '
                f'{self.rank} spatial), got an input of shape {tuple(x.shape)}'
            )
        if _is_compiling():
            # One graph per input size: with symbolic sizes, window layouts take ten times as long
            # to trace and inductor fails (torch 2.13). range() is what makes a size an integer.
            for size in x.shape[2:]:
                range(size)
        x = self.patch_embed(x)
        outs = []
        for i, stage in enumerate(self.layers):
            out, x = stage(x, self.with_cp)
            if i in self.out_indices:
                out = getattr(self, f'norm{i}')(out)
                outs.append(out.movedim(-1, 1).contiguous())
        return tuple(outs)

    def _reset_parameters(self) -> None:
        """Initialise as the official code; zero norms make each block start as the identity."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, SwinBlock):
                for norm in (module.norm1, module.norm2):
                    nn.init.zeros_(norm.weight)
                    nn.init.zeros_(norm.bias)

    def _frozen_modules(self) -> Iterator[nn.Module]:
        if self.frozen_stages >= 0:
            yield self.patch_embed
        for i in range(min(self.frozen_stages, len(self.layers))):
            yield self.layers[i]
            if i in self.out_indices:
                yield getattr(self, f'norm{i}')

    def _freeze_stages(self) -> None:
        for module in self._frozen_modules():
            module.eval()
            module.requires_grad_(False)


@MODELS.register_module()
class VideoSwinTransformerV2(SwinTransformerV2):
    """Swin Transformer V2 backbone for video: (B, 3, T, H, W) -> (B, C_i, T', H_i, W_i).

    As `SwinTransformerV2` with tuples (T, H, W); T' = ceil(T / patch_size[0]) in every stage.
    One entry in `out_indices` gives a Tensor, as mmaction2's heads take it, several a tuple.
    """

    rank = 3

    def __init__(
        self,
        arch: str | dict = 't',
        patch_size: int | Sequence[int] = (2, 4, 4),
        window_size: int | Sequence = (8, 8, 8),
        pretrained_window_sizes: int | Sequence | None = None,
        drop_path_rate: float = 0.1,
        out_indices: Sequence[int] = (3,),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            arch,
            patch_size,
            window_size,
            pretrained_window_sizes,
            drop_path_rate,
            out_indices,
            **kwargs,
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Clips (B, 3, T, H, W) -> one (B, C_i, T', H_i, W_i) per entry of `out_indices`."""
        outs = super().forward(x)
        return outs[0] if len(outs) == 1 else outs


def _linear_rates(last: float, count: int) -> list[float]:
    """`count` rates from 0 to `last`, in plain Python so that models build on the meta device."""
    if not 0.0 <= last < 1.0:
        raise ValueError(f'drop_path_rate={last} must be at least 0 and below 1')
    return [last * i / max(count - 1, 1) for i in range(count)]


def _write_divisors(module: SwinTransformerV2, state: dict, prefix: str, metadata: dict) -> None:
    """Let the divisors travel as metadata of a state dict: no key that strict loading minds."""
    metadata[METADATA_KEY] = module.pretrained_window_sizes


def _read_divisors(
    module: SwinTransformerV2, state: dict, prefix: str, metadata: dict, *_: Any
) -> None:
    """Adopt the divisors of weights; drop stored tables and masks, which are computed here."""
    divisors = metadata.get(METADATA_KEY) or from_tables(state, len(module.layers), prefix)
    for key in [k for k in state if k.startswith(prefix) and k.endswith(DERIVED)]:
        del state[key]
    if divisors is not None:
        module.set_pretrained_window_sizes(divisors, 'the checkpoint that is loaded')
    elif not module.divisors_given and f'{prefix}layers.0.blocks.0.attn.logit_scale' in state:
        print_log(
            'These weights do not say which windows they were trained with: '
            f'pretrained_window_sizes of the backbone stays {module.pretrained_window_sizes}. Set '
            'it, or load the checkpoint with init_cfg.',
            'current',
            logging.WARNING,
        )
