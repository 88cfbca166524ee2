"""Swin Transformers as hierarchical backbones for images and video.

One implementation serves V1, V2 and what lies between them, and any number of axes: the rank is the
length of `patch_size` and `window_size`. Parameters of V2 are named as in the official checkpoints.
Legend: B batch, S... spatial axes, C channels; maps are channels-last inside and (B, C, S...) at
the borders.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..arguments import (
    Arch,
    Parts,
    Pretrained,
    arch_settings,
    block_positions,
    is_int,
    out_stages,
    pretrained,
    stage_windows,
)
from ..checkpoints.formats import DERIVED, METADATA_KEY
from ..checkpoints.loading import load_pretrained
from ..checkpoints.pretrained_windows import windows_from_coords_table
from ..choices import ATTENTION_BACKENDS
from ..errors import CheckpointError
from .bias_table import BiasTable
from .blocks import BLOCKS, PATCH_MERGINGS, PatchEmbed, Stage, SwinBlock
from .position_bias import LinearCPB, LogCPB, PositionBias
from .tracing import is_compiling
from .window_attention import ATTENTIONS

Part = TypeVar('Part')
POSITION_BIASES: dict[str, type[PositionBias]] = {
    'log': LogCPB,
    'linear': LinearCPB,
    'table': BiasTable,
}
# A window larger than any map: windows are clamped to the map, and then not shifted.
WHOLE_MAP = (1 << 30,)


class SwinBackbone(BaseModule):
    """Backbone for images: (B, 3, H, W) -> tuple of (B, C_i, H_i, W_i).

    Map i has `embed_dims * 2**i` channels and the size ceil(H / (patch_size * 2**i)). Images of
    any size are padded where needed. Each map passes through an output norm `norm{i}`.

    Args:
        arch: 't', 's', 'b', 'l', 'h', 'g', or a dict with `embed_dims`, `depths`, `num_heads`
            and optionally `extra_norm_every` (blocks between norms on the main branch, 0: none).
        patch_size: Pixels per patch; an int or one per axis.
        window_size: Tokens per window. An int: all axes and stages. A tuple with one int per
            axis, (H, W): all stages. A list with one of these per stage. Windows are clamped to
            the feature map.
        pretrained_window_sizes: Windows that the weights were trained with, in the same form as
            `window_size`; they scale the offsets of continuous position biases. By default they
            come from the checkpoint (checkpoints of later trainings store them too), or are
            `window_size` without one.
        drop_path_rate: Stochastic depth rate of the last block; rises linearly from 0.
        out_indices: Stages whose maps are returned. Later stages are not built.
        frozen_stages: k >= 0 freezes the patch embedding and the stages 0 to k-1.
        norm_eval: Keep norms in eval mode. LayerNorm computes the same in both modes; the argument
            is there so that configs written for other backbones run.
        with_cp: Recompute each block's activations in the backward pass to save memory (the
            paper's activation checkpointing). A bool, or a list with one per stage.
        sequential_attention: Project to q, k and v again in the backward pass, one group of
            windows after the other, instead of keeping them (the paper's sequential
            self-attention). A bool, or a list with one per stage. Logits are never kept.
        attention_backend: 'auto', 'tiled', 'sdpa', 'triton' or 'plain'; see `select_backend` in
            models/attention_backends.py.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` loads a checkpoint of any known format
            from a path, a URL or `hf://owner/name`; see `load_pretrained` for `prefix`,
            `allow_missing` and `new_bands`.
        in_channels: Channels of the image.
        position_bias: Rows of Table 1: 'log' (log-CPB), 'linear' (linear CPB) or 'table' (V1's
            parameters for the offsets of one window, interpolated when other windows load them).
        similarity: 'cosine' (eq. 2, with biases of q and v), or 'dot' (V1's scaled dot product,
            with a bias of q, k and v).
        block: Columns of Table 7: 'res-post-norm', 'pre-norm' (V1), 'post-norm' or 'sandwich'.
        patch_merging: Norm after the reduction ('post-norm'), or before it ('pre-norm', V1).
        global_blocks: Blocks that attend to their whole map, as a dict from stages to lists of
            blocks, both counted from 0; Plain-DETR has {3: [0, 1]}.
        norm_eps: Epsilon of all norms.
        cosine_eps: Added to the norms of q and k before dividing; 0 divides by the norm alone.

    Raises:
        ValueError: An argument, an input or a checkpoint does not fit.
    """

    INIT_SETTINGS = Pretrained._fields  # of init_cfg, for the check of configs
    rank = 2

    def __init__(
        self,
        arch: str | dict = 't',
        *,
        patch_size: int | Sequence[int] = 4,
        window_size: int | Sequence = 8,
        pretrained_window_sizes: int | Sequence | None = None,
        drop_path_rate: float = 0.1,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool | Sequence[bool] = False,
        init_cfg: dict | list | None = None,
        in_channels: int = 3,
        sequential_attention: bool | Sequence[bool] = False,
        attention_backend: str = 'auto',
        position_bias: str = 'log',
        similarity: str = 'cosine',
        block: str = 'res-post-norm',
        patch_merging: str = 'post-norm',
        global_blocks: Mapping[int, Sequence[int]] | None = None,
        norm_eps: float = 1e-5,
        cosine_eps: float = 0.0,
    ) -> None:
        super().__init__(init_cfg)
        self.parts = Parts(position_bias, similarity, block, patch_merging)
        bias_type = _chosen('position_bias', position_bias, POSITION_BIASES)
        attention_type = _chosen('similarity', similarity, ATTENTIONS)
        block_type = _chosen('block', block, BLOCKS)
        merging_type = _chosen('patch_merging', patch_merging, PATCH_MERGINGS)
        embed_dims, depths, num_heads, extra_norm_every = arch_settings(arch)
        windows = stage_windows('window_size', window_size, len(depths), self.rank)
        self.pretrained_windows_given = pretrained_window_sizes is not None
        is_global = block_positions('global_blocks', global_blocks, depths)
        if is_global and bias_type is BiasTable:
            raise ValueError(
                f'global_blocks={global_blocks} need biases for maps of any size, which a bias '
                "table does not have: remove it, or use position_bias='log'"
            )
        pretrained_windows = windows
        if pretrained_window_sizes is not None:
            if bias_type is BiasTable:
                raise ValueError(
                    f'pretrained_window_sizes={pretrained_window_sizes} scales offsets, which a '
                    'bias table does not have: remove it'
                )
            pretrained_windows = stage_windows(
                'pretrained_window_sizes', pretrained_window_sizes, len(depths), self.rank
            )
        self.out_indices = out_stages(out_indices, len(depths))
        if not is_int(frozen_stages) or not -1 <= frozen_stages <= len(depths):
            raise ValueError(f'frozen_stages={frozen_stages} must be in -1..{len(depths)}')
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = _per_stage('with_cp', with_cp, len(depths))
        sequential = _per_stage('sequential_attention', sequential_attention, len(depths))
        if attention_backend not in ATTENTION_BACKENDS:
            raise ValueError(
                f'attention_backend={attention_backend!r} must be one of {ATTENTION_BACKENDS}'
            )
        if isinstance(patch_size, list):  # one per axis: patches have no stages
            patch_size = tuple(patch_size)
        (patch_size,) = stage_windows('patch_size', patch_size, 1, self.rank)
        if not is_int(in_channels) or in_channels < 1:
            raise ValueError(f'in_channels={in_channels!r} must be an int >= 1')
        self.patch_embed = PatchEmbed(in_channels, embed_dims, patch_size, norm_eps)
        rates = iter(_linear_rates(drop_path_rate, sum(depths)))
        num_built = self.out_indices[-1] + 1
        # What is built, which loading compares with a checkpoint.
        self.arch = Arch(embed_dims, depths[:num_built], num_heads[:num_built], extra_norm_every)
        self.layers = nn.ModuleList()
        self.num_features = [embed_dims * 2**i for i in range(num_built)]
        for i, dims in enumerate(self.num_features):
            blocks = [
                block_type(
                    attention_type(
                        dims,
                        num_heads[i],
                        WHOLE_MAP * self.rank if (i, b) in is_global else windows[i],
                        pretrained_windows[i],
                        shifted=b % 2 == 1,
                        sequential=sequential[i],
                        backend=attention_backend,
                        position_bias=bias_type,
                        cosine_eps=cosine_eps,
                    ),
                    dims,
                    next(rates),
                    extra_norm=extra_norm_every > 0 and (b + 1) % extra_norm_every == 0,
                    norm_eps=norm_eps,
                )
                for b in range(depths[i])
            ]
            merging = merging_type(dims, norm_eps) if i + 1 < num_built else None
            self.layers.append(Stage(blocks, merging))
        for i in self.out_indices:
            self.add_module(f'norm{i}', nn.LayerNorm(self.num_features[i], norm_eps))
        self._reset_parameters()
        self._freeze_stages()
        self._register_state_dict_hook(_write_pretrained_windows)
        self._register_load_state_dict_pre_hook(_read_pretrained_windows, with_module=True)

    @property
    def out_channels(self) -> list[int]:
        """Channels of the returned maps: the `in_channels` of a neck."""
        return [self.num_features[i] for i in self.out_indices]

    @property
    def pretrained_window_sizes(self) -> list[tuple[int, ...]]:
        """Windows per stage, in tokens: less one, they divide the offsets of continuous biases.

        For bias tables, those that the tables belong to.
        """
        first = [stage.attentions()[0] for stage in self._stages()]
        return [attention.position_bias.pretrained_window_size for attention in first]

    def set_pretrained_window_sizes(self, windows: Sequence, source: str) -> None:
        """Adopt the pretrained windows of weights from `source`.

        Raises:
            CheckpointError: The config gives other windows; both are named.
        """
        if self.parts.position_bias == 'table':  # tables have been fitted to the model's windows
            return
        adopted = stage_windows('pretrained_window_sizes', list(windows), None, self.rank)
        adopted = adopted[: len(self.layers)]
        if self.pretrained_windows_given and list(adopted) != self.pretrained_window_sizes:
            raise CheckpointError(
                f'pretrained_window_sizes={self.pretrained_window_sizes} in the config '
                f'contradicts {source}, whose weights were trained with {list(adopted)}. '
                'Remove the argument: the checkpoint provides it.'
            )
        for stage, window in zip(self._stages(), adopted):
            for attention in stage.attentions():
                attention.position_bias.pretrained_window_size = window

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Pixels per patch, one per axis."""
        return self.patch_embed.patch_size

    def init_weights(self) -> None:
        """Load `init_cfg=dict(type='Pretrained', ...)`; mmengine handles other initializers."""
        settings = pretrained(self.init_cfg)
        if settings is not None:
            load_pretrained(self, *settings)
            self._is_init = True
        else:
            super().init_weights()

    def train(self, mode: bool = True) -> SwinBackbone:
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
        channels = self.patch_embed.proj.in_channels
        if x.dim() != self.rank + 2 or x.shape[1] != channels or min(x.shape[2:]) < 1:
            raise ValueError(
                f'{type(self).__name__} takes {self.rank + 2} axes (batch, {channels} channels and '
                f'{self.rank} spatial, none empty), got an input of shape {tuple(x.shape)}'
            )
        if is_compiling():
            # One graph per input size: with symbolic sizes, window layouts take ten times as long
            # to trace and inductor fails (torch 2.13). range() turns a size into an integer.
            for size in x.shape[2:]:
                range(size)
        return self.forward_tokens(self.patch_embed(x))

    def forward_tokens(self, x: Tensor) -> tuple[Tensor, ...]:
        """Embedded patches (B, S..., C), some perhaps replaced by mask tokens -> as `forward`."""
        outs = []
        for i, stage in enumerate(self.layers):
            out, x = stage(x, self.with_cp[i])
            if i in self.out_indices:
                out = getattr(self, f'norm{i}')(out)
                last = out.dim() - 1
                outs.append(out.permute(0, last, *range(1, last)).contiguous())
        return tuple(outs)

    def _stages(self) -> list[Stage]:
        return [cast(Stage, stage) for stage in self.layers]

    def _reset_parameters(self) -> None:
        """Initialize like the official code."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, SwinBlock):
                module.reset_norms()

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


class VideoSwinBackbone(SwinBackbone):
    """Backbone for video: (B, 3, T, H, W) -> (B, C_i, T', H_i, W_i).

    Like `SwinBackbone`, with tuples (T, H, W); T' = ceil(T / patch_size[0]) in every stage. With
    one entry in `out_indices`, the output is a Tensor, as mmaction2's heads expect; with several,
    a tuple.
    """

    rank = 3

    def __init__(
        self,
        arch: str | dict = 't',
        *,
        patch_size: int | Sequence[int] = (2, 4, 4),
        window_size: int | Sequence = (8, 8, 8),
        out_indices: Sequence[int] = (3,),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            arch, patch_size=patch_size, window_size=window_size, out_indices=out_indices, **kwargs
        )

    # mmaction2's heads do not take a tuple.
    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:  # type: ignore[override]
        """Clips (B, 3, T, H, W) -> one (B, C_i, T', H_i, W_i) per entry of `out_indices`."""
        outs = super().forward(x)
        return outs[0] if len(outs) == 1 else outs


def _chosen(name: str, value: str, classes: Mapping[str, type[Part]]) -> type[Part]:
    """The class that an argument names."""
    if not isinstance(value, str) or value not in classes:
        raise ValueError(f'{name}={value!r} is unknown; choose one of {", ".join(classes)}')
    return classes[value]


def _per_stage(name: str, value: bool | Sequence[bool], num_stages: int) -> list[bool]:
    """One value per stage, from a value for all stages or one per stage."""
    values: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value] * num_stages
    if len(values) != num_stages or not all(isinstance(v, bool) for v in values):
        raise ValueError(
            f'{name}={value} must be True, False or a list of them for {num_stages} stages'
        )
    return values


def _linear_rates(last: float, count: int) -> list[float]:
    """`count` rates from 0 to `last`, in plain Python so that models build on the meta device."""
    if isinstance(last, bool) or not isinstance(last, (int, float)) or not 0.0 <= last < 1.0:
        raise ValueError(f'drop_path_rate={last!r} must be at least 0 and below 1')
    return [last * i / max(count - 1, 1) for i in range(count)]


def _write_pretrained_windows(
    module: SwinBackbone, state: dict, prefix: str, metadata: dict
) -> None:
    """Store the pretrained windows as metadata of a state dict, which strict loading ignores."""
    metadata[METADATA_KEY] = module.pretrained_window_sizes


def _read_pretrained_windows(
    module: SwinBackbone, state: dict, prefix: str, metadata: dict, *_: Any
) -> None:
    """Adopt the pretrained windows; drop stored tables and masks, which are computed here."""
    windows = metadata.get(METADATA_KEY) or windows_from_coords_table(
        state, len(module.layers), prefix
    )
    for key in [k for k in state if k.startswith(prefix) and k.endswith(DERIVED)]:
        del state[key]
    if windows is not None:
        module.set_pretrained_window_sizes(windows, 'the loaded checkpoint')
    elif (
        not module.pretrained_windows_given
        and module.parts.position_bias != 'table'
        and f'{prefix}layers.0.blocks.0.attn.proj.weight' in state
    ):
        print_log(
            'The checkpoint does not say which windows its weights were trained with: '
            f'pretrained_window_sizes of the backbone stays {module.pretrained_window_sizes}. Set '
            'it, or load the checkpoint with init_cfg.',
            'current',
            logging.WARNING,
        )
