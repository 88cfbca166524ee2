"""Swin Transformer V2 (arXiv 2111.09883)."""

from __future__ import annotations

from mmengine.registry import MODELS

from .backbone import SwinBackbone, VideoSwinBackbone


@MODELS.register_module()
class SwinTransformerV2(SwinBackbone):
    """Swin Transformer V2 backbone for images: (B, 3, H, W) -> tuple of (B, C_i, H_i, W_i).

    See `SwinBackbone` for the arguments; its defaults are those of V2. The paper's ablations are
    this class with another `position_bias`, `similarity` or `block`.
    """


@MODELS.register_module()
class VideoSwinTransformerV2(VideoSwinBackbone):
    """Swin Transformer V2 backbone for video: (B, 3, T, H, W) -> (B, C_i, T', H_i, W_i).

    See `VideoSwinBackbone`; its defaults are those of V2.
    """
