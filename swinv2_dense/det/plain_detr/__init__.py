"""Plain-DETR (arXiv 2308.01904), the published DETR on SwinV2, with parts of mmdet's DETRs."""

from .coordinates import NormalizedBoxes, PixelBoxes
from .detector import PlainDETR
from .head import PlainDETRHead
from .match_cost import BoxDeltaL1Cost
from .position_encoding import CellSinePositionalEncoding
from .upsampling import MapUpsampling

__all__ = [
    'BoxDeltaL1Cost',
    'CellSinePositionalEncoding',
    'MapUpsampling',
    'NormalizedBoxes',
    'PixelBoxes',
    'PlainDETR',
    'PlainDETRHead',
]
