"""Swin Transformer V1 (arXiv 2103.14030) and Video Swin (arXiv 2106.13230), on the core of V2.

They differ from the official code and from mmdet's `SwinTransformer` in two ways, as V2 does here:
windows are clamped to smaller maps instead of padding the maps, without a shift; and tokens that
only meet by wrapping around do not attend to each other at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.registry import MODELS

from ..arguments import V1
from .backbone import SwinBackbone, VideoSwinBackbone


@MODELS.register_module()
class SwinTransformerV1(SwinBackbone):
    """Swin Transformer V1 backbone for images: (B, 3, H, W) -> tuple of (B, C_i, H_i, W_i).

    See `SwinBackbone` for the arguments; only defaults differ.
    """

    def __init__(
        self,
        arch: str | dict = 't',
        *,
        window_size: int | Sequence = 7,
        position_bias: str = V1.position_bias,
        similarity: str = V1.similarity,
        block: str = V1.block,
        patch_merging: str = V1.patch_merging,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            arch,
            window_size=window_size,
            position_bias=position_bias,
            similarity=similarity,
            block=block,
            patch_merging=patch_merging,
            **kwargs,
        )


@MODELS.register_module()
class VideoSwinTransformerV1(VideoSwinBackbone):
    """Video Swin Transformer (V1): (B, 3, T, H, W) -> (B, C_i, T', H_i, W_i).

    See `VideoSwinBackbone` for the arguments; only defaults differ.
    """

    def __init__(
        self,
        arch: str | dict = 't',
        *,
        window_size: int | Sequence = (8, 7, 7),
        position_bias: str = V1.position_bias,
        similarity: str = V1.similarity,
        block: str = V1.block,
        patch_merging: str = V1.patch_merging,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            arch,
            window_size=window_size,
            position_bias=position_bias,
            similarity=similarity,
            block=block,
            patch_merging=patch_merging,
            **kwargs,
        )
