"""Backbones, registered in mmengine's root registry."""

from .low_rank_backbones import LowRankSwinTransformerV2, LowRankVideoSwinTransformerV2
from .swin_transformer_v2 import SwinTransformerV2, VideoSwinTransformerV2

__all__ = [
    'LowRankSwinTransformerV2',
    'LowRankVideoSwinTransformerV2',
    'SwinTransformerV2',
    'VideoSwinTransformerV2',
]
