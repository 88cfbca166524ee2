"""Training and testing: what mmengine lacks, shared by all tasks."""

from .amp import Bf16OptimWrapper
from .class_names import read_class_names
from .classes import read_classes, set_num_classes
from .config_parts import ConfigError
from .fsdp import ShardedStrategy, swin_block_policy
from .hooks import BackboneWeightsHook, CheckFilesHook, ResultsHook
from .label_maps import CheckLabelMapsHook
from .layer_decay import SwinV2OptimWrapperConstructor
from .load_report import LoadReportHook

__all__ = [
    'BackboneWeightsHook',
    'Bf16OptimWrapper',
    'CheckFilesHook',
    'CheckLabelMapsHook',
    'ConfigError',
    'LoadReportHook',
    'ResultsHook',
    'ShardedStrategy',
    'SwinV2OptimWrapperConstructor',
    'read_class_names',
    'read_classes',
    'set_num_classes',
    'swin_block_policy',
]
