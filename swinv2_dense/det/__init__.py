"""Extensions for mmdet, which it imports; list it in `custom_imports` next to `swinv2_dense`."""

from .. import transforms
from .classwise_metric import (
    ClasswiseCocoMetric,
    ClasswiseLVISMetric,
    ClasswiseOVCocoMetric,
    separate_classwise_keys,
)
from .fast_metric import FastCocoMetric
from .global_attention import GlobalAttention
from .htc import MaskEnsembleHTCRoIHead
from .instaboost import RunLengthInstaBoost
from .panoptic import LoadPanopticMaps, PanopticQualityMetric
from .plain_detr import PlainDETR
from .precision import DetectorFp32Hook, keep_borders_in_fp32
from .slices import SlicedDetector
from .tta import InstanceSegTTAModel
from .visualization import ClassColorDetVisualizer

__all__ = [
    'ClassColorDetVisualizer',
    'ClasswiseCocoMetric',
    'ClasswiseLVISMetric',
    'ClasswiseOVCocoMetric',
    'DetectorFp32Hook',
    'FastCocoMetric',
    'GlobalAttention',
    'InstanceSegTTAModel',
    'LoadPanopticMaps',
    'MaskEnsembleHTCRoIHead',
    'PanopticQualityMetric',
    'PlainDETR',
    'RunLengthInstaBoost',
    'SlicedDetector',
    'keep_borders_in_fp32',
    'separate_classwise_keys',
    'transforms',
]
