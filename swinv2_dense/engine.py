"""The former home of hooks, optimizers and readers of classes, kept for one release.

Configs name hooks and optimizers as strings, and `swinv2_dense.own_data` holds the functions that
configs call.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

RENAMED = {
    'AnyDeviceDistributedDataParallel': 'DeviceAgnosticDDP',
    'MissedValidationHook': 'PendingValidationHook',
    'WholeCheckpointHook': 'AtomicCheckpointHook',
}
MODULES = {  # by the names that could be imported from here
    'AnyDeviceDistributedDataParallel': 'distributed.cpu',
    'BackboneWeightsHook': 'training.backbone_weights',
    'Bf16OptimWrapper': 'training.amp',
    'CheckFilesHook': 'checks.files',
    'CheckLabelMapsHook': 'seg.check_label_maps',
    'ConfigError': 'errors',
    'DataFaultsHook': 'resilience.unreadable_samples',
    'LoadReportHook': 'training.load_report',
    'MissedValidationHook': 'resilience.resume',
    'NonFiniteError': 'resilience.nonfinite',
    'NonFiniteHook': 'resilience.nonfinite',
    'PreemptionHook': 'resilience.preemption',
    'ResultsHook': 'training.results',
    'ResumableEpochLoop': 'resilience.resume',
    'ResumableIterLoop': 'resilience.resume',
    'ResumeHook': 'resilience.resume',
    'ShardedStrategy': 'distributed.fsdp',
    'SwinV2OptimWrapperConstructor': 'training.layer_decay',
    'WholeCheckpointHook': 'resilience.atomic_checkpoints',
    'ZeroStrategy': 'distributed.zero',
    'read_class_folders': 'own_data',
    'read_class_names': 'own_data',
    'read_classes': 'own_data',
    'set_num_classes': 'own_data',
    'swin_block_policy': 'distributed.fsdp',
}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module, current = f'swinv2_dense.{MODULES[name]}', RENAMED.get(name, name)
    message = f'swinv2_dense.engine.{name} is now {module}.{current}'
    warnings.warn(message, FutureWarning, stacklevel=2)
    return getattr(importlib.import_module(module), current)
