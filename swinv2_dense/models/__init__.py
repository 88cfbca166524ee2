"""Backbones, registered in mmengine's root registry."""

from .swin_transformer_v2 import SwinTransformerV2, VideoSwinTransformerV2

__all__ = ['SwinTransformerV2', 'VideoSwinTransformerV2']
