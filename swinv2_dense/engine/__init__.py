"""Training and testing: what mmengine lacks, shared by all tasks."""

from .amp import Bf16OptimWrapper
from .class_names import read_class_names
from .hooks import BackboneWeightsHook, CheckFilesHook, ResultsHook
from .label_maps import CheckLabelMapsHook
from .layer_decay import SwinV2OptimWrapperConstructor
from .preflight import ConfigError

__all__ = [
    'BackboneWeightsHook',
    'Bf16OptimWrapper',
    'CheckFilesHook',
    'CheckLabelMapsHook',
    'ConfigError',
    'ResultsHook',
    'SwinV2OptimWrapperConstructor',
    'read_class_names',
]
