"""Transforms of images that mmcv lacks. Importing it registers them with mmengine."""

from .bands import LoadBands, NormalizeBands
from .crops import PlacedCrop, RandomResizedCrop
from .erasing import RandomErasing
from .rand_augment import RandAugment
from .resizing import ResizeInto, ResizeShorterSide

__all__ = [
    'LoadBands',
    'NormalizeBands',
    'PlacedCrop',
    'RandAugment',
    'RandomErasing',
    'RandomResizedCrop',
    'ResizeInto',
    'ResizeShorterSide',
]
