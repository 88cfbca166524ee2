"""Training and testing: what mmengine lacks, shared by all tasks."""

from ..checks.batch_norm import CheckBatchNormHook
from ..errors import ConfigError
from ..training.checkpoint_classes import CheckpointClassesHook
from ..training.image_check import CheckImagesHook
from ..training.resume_settings import ResumeSettingsHook
from ..training.start_report import StartReportHook
from ..training.undefined_metrics import UndefinedMetricsHook
from .amp import Bf16OptimWrapper
from .atomic import WholeCheckpointHook
from .class_folders import read_class_folders
from .class_names import read_class_names
from .classes import read_classes, set_num_classes
from .data_faults import DataFaultsHook
from .deepspeed import DeepSpeedZeroStrategy
from .distributed import AnyDeviceDistributedDataParallel
from .fsdp import ShardedStrategy, swin_block_policy
from .hooks import BackboneWeightsHook, CheckFilesHook, ResultsHook
from .label_maps import CheckLabelMapsHook
from .layer_decay import SwinV2OptimWrapperConstructor
from .load_report import LoadReportHook
from .nonfinite import NonFiniteError, NonFiniteHook
from .preemption import PreemptionHook
from .resume import MissedValidationHook, ResumableEpochLoop, ResumableIterLoop, ResumeHook
from .zero import ZeroStrategy

__all__ = [
    'AnyDeviceDistributedDataParallel',
    'BackboneWeightsHook',
    'Bf16OptimWrapper',
    'CheckBatchNormHook',
    'CheckFilesHook',
    'CheckImagesHook',
    'CheckLabelMapsHook',
    'CheckpointClassesHook',
    'ConfigError',
    'DataFaultsHook',
    'LoadReportHook',
    'DeepSpeedZeroStrategy',
    'MissedValidationHook',
    'NonFiniteError',
    'NonFiniteHook',
    'PreemptionHook',
    'ResumableEpochLoop',
    'ResumableIterLoop',
    'ResultsHook',
    'ResumeHook',
    'ResumeSettingsHook',
    'ShardedStrategy',
    'StartReportHook',
    'SwinV2OptimWrapperConstructor',
    'UndefinedMetricsHook',
    'WholeCheckpointHook',
    'ZeroStrategy',
    'read_class_folders',
    'read_class_names',
    'read_classes',
    'set_num_classes',
    'swin_block_policy',
]
