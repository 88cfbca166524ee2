"""Backbones, registered in mmengine's root registry."""

from .backbone import SwinBackbone
from .swin_transformer_v1 import SwinTransformerV1, VideoSwinTransformerV1
from .swin_transformer_v2 import SwinTransformerV2, VideoSwinTransformerV2

__all__ = [
    'SwinBackbone',
    'SwinTransformerV1',
    'SwinTransformerV2',
    'VideoSwinTransformerV1',
    'VideoSwinTransformerV2',
]
