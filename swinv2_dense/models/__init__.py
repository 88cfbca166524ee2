"""Backbones, registered in mmengine's root registry."""

from .backbone import SwinBackbone
from .low_rank_backbones import (
    LowRankSwinTransformerV1,
    LowRankSwinTransformerV2,
    LowRankVideoSwinTransformerV1,
    LowRankVideoSwinTransformerV2,
)
from .swin_transformer_v1 import SwinTransformerV1, VideoSwinTransformerV1
from .swin_transformer_v2 import SwinTransformerV2, VideoSwinTransformerV2

__all__ = [
    'LowRankSwinTransformerV1',
    'LowRankSwinTransformerV2',
    'LowRankVideoSwinTransformerV1',
    'LowRankVideoSwinTransformerV2',
    'SwinBackbone',
    'SwinTransformerV1',
    'SwinTransformerV2',
    'VideoSwinTransformerV1',
    'VideoSwinTransformerV2',
]
