"""Panoptic segmentation without panopticapi, which is not on the package index."""

from .loading import LoadPanopticMaps
from .metric import PanopticQualityMetric

__all__ = ['LoadPanopticMaps', 'PanopticQualityMetric']
