"""Transforms of images that mmcv lacks. Importing it registers them with mmengine."""

from .crops import RandomResizedCrop

__all__ = ['RandomResizedCrop']
