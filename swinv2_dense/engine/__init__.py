"""Training and testing: what mmengine lacks, shared by all tasks."""

from .amp import Bf16OptimWrapper
from .classes import read_classes, set_num_classes
from .fsdp import ShardedStrategy, swin_block_policy
from .hooks import BackboneWeightsHook, CheckFilesHook, ResultsHook
from .layer_decay import SwinV2OptimWrapperConstructor
from .load_report import LoadReportHook
from .preflight import ConfigError

__all__ = [
    'BackboneWeightsHook',
    'Bf16OptimWrapper',
    'CheckFilesHook',
    'ConfigError',
    'LoadReportHook',
    'ResultsHook',
    'ShardedStrategy',
    'SwinV2OptimWrapperConstructor',
    'swin_block_policy',
    'read_classes',
    'set_num_classes',
]
