"""Transforms of images that mmcv lacks. Importing it registers them with mmengine."""

from .bands import LoadBands, NormalizeBands
from .crops import RandomResizedCrop

__all__ = ['LoadBands', 'NormalizeBands', 'RandomResizedCrop']
