"""Transforms of images that mmcv lacks. Importing it registers them with mmengine."""

from .crops import PlacedCrop, RandomResizedCrop
from .erasing import RandomErasing
from .rand_augment import RandAugment
from .resizing import ResizeShorterSide

__all__ = [
    'PlacedCrop',
    'RandAugment',
    'RandomErasing',
    'RandomResizedCrop',
    'ResizeShorterSide',
]
