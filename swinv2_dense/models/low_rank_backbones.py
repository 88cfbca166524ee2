"""Backbones that keep their weights and learn low-rank adapters (LoRA, arXiv 2106.09685)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS

from ..arguments import is_int
from ..checkpoints.low_rank import is_adapter
from .backbone import SwinBackbone
from .low_rank import LowRankLinear
from .swin_transformer_v1 import SwinTransformerV1, VideoSwinTransformerV1
from .swin_transformer_v2 import SwinTransformerV2, VideoSwinTransformerV2

LAYERS = ('qkv', 'proj', 'fc1', 'fc2')


class LowRankBackbone(SwinBackbone):
    """A backbone of which only low-rank adapters and the output norms are trained.

    Checkpoints hold the pretrained weights and the adapters. Loading one into another backbone, and
    tools/convert_checkpoint.py, add the adapters to the weights, so the result costs nothing more.

    Args:
        args: Of `SwinBackbone`.
        low_rank: Rank of the adapters, at least 1.
        adapted: Layers of each block with an adapter, of 'qkv' and 'proj' of the attention, 'fc1'
            and 'fc2' of the MLP.
        kwargs: Of `SwinBackbone`.

    Raises:
        ValueError: An argument does not fit.
    """

    def __init__(
        self,
        *args: Any,
        low_rank: int = 8,
        adapted: Sequence[str] = ('qkv', 'proj'),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not is_int(low_rank) or low_rank < 1:
            raise ValueError(f'low_rank={low_rank!r} must be an int >= 1')
        if not adapted or not set(adapted) <= set(LAYERS):
            raise ValueError(f'adapted={adapted!r} must be some of {", ".join(LAYERS)}')
        for stage in self._stages():
            for block in stage.blocks:
                for name in adapted:
                    part = block.attn if hasattr(block.attn, name) else block.mlp
                    setattr(part, name, LowRankLinear(getattr(part, name), low_rank))
        self._freeze_stages()

    def _freeze_stages(self) -> None:
        """Freeze what is neither an adapter nor an output norm."""
        super()._freeze_stages()
        norms = tuple(f'norm{i}.' for i in self.out_indices)
        for name, parameter in self.named_parameters():
            if not is_adapter(name) and not name.startswith(norms):
                parameter.requires_grad_(False)


@MODELS.register_module()
class LowRankSwinTransformerV2(LowRankBackbone, SwinTransformerV2):
    """`SwinTransformerV2` with the adapters of `LowRankBackbone`."""


@MODELS.register_module()
class LowRankVideoSwinTransformerV2(LowRankBackbone, VideoSwinTransformerV2):
    """`VideoSwinTransformerV2` with the adapters of `LowRankBackbone`."""


@MODELS.register_module()
class LowRankSwinTransformerV1(LowRankBackbone, SwinTransformerV1):
    """`SwinTransformerV1` with the adapters of `LowRankBackbone`."""


@MODELS.register_module()
class LowRankVideoSwinTransformerV1(LowRankBackbone, VideoSwinTransformerV1):
    """`VideoSwinTransformerV1` with the adapters of `LowRankBackbone`."""
