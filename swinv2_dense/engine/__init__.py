"""Training and testing: what mmengine lacks, shared by all tasks."""

from ..checks.batch_norm import CheckBatchNormHook
from ..checks.files import CheckFilesHook
from ..distributed.cpu import AnyDeviceDistributedDataParallel
from ..distributed.fsdp import ShardedStrategy, swin_block_policy
from ..distributed.zero import ZeroStrategy
from ..errors import ConfigError
from ..own_data.class_folders import read_class_folders
from ..own_data.class_names import read_class_names
from ..own_data.coco_categories import read_classes
from ..own_data.num_classes import set_num_classes
from ..resilience.atomic_checkpoints import WholeCheckpointHook
from ..resilience.nonfinite import NonFiniteError, NonFiniteHook
from ..resilience.preemption import PreemptionHook
from ..resilience.resume import (
    MissedValidationHook,
    ResumableEpochLoop,
    ResumableIterLoop,
    ResumeHook,
)
from ..resilience.resume_settings import ResumeSettingsHook
from ..resilience.unreadable_samples import DataFaultsHook
from ..seg.check_label_maps import CheckLabelMapsHook
from ..training.amp import Bf16OptimWrapper
from ..training.backbone_weights import BackboneWeightsHook
from ..training.checkpoint_classes import CheckpointClassesHook
from ..training.image_check import CheckImagesHook
from ..training.layer_decay import SwinV2OptimWrapperConstructor
from ..training.load_report import LoadReportHook
from ..training.results import ResultsHook
from ..training.start_report import StartReportHook
from ..training.undefined_metrics import UndefinedMetricsHook
from .deepspeed import DeepSpeedZeroStrategy

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
