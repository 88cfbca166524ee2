"""Configs and checkpoints in the form that commit 386872b wrote them, before modules moved.

Seen in trainings of that commit: a segmentor in one process, and in two with ZeRO-1, with FSDP, and
with FSDP in shards. What later versions add is left out, and renamed types have their old names.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from mmengine.config import Config

from swinv2_dense.checkpoints.reading import read_checkpoint_file
from swinv2_dense.config_parts import type_name

ADDED_HOOKS = (  # to every training; det, seg and video each had one more
    *('CheckFilesHook', 'CheckLabelMapsHook', 'BackboneWeightsHook', 'LoadReportHook'),
    *('ResultsHook', 'ResumeHook', 'PreemptionHook', 'MissedValidationHook', 'DataFaultsHook'),
    *('NonFiniteHook',),
)
RENAMED = {
    'AtomicCheckpointHook': 'WholeCheckpointHook',
    'DetectorFp32Hook': 'Fp32BordersHook',
    'DeviceAgnosticDDP': 'AnyDeviceDistributedDataParallel',
    'PendingValidationHook': 'MissedValidationHook',
}
FSDP_WRAPPER = dict(
    type='MMFullyShardedDataParallel', use_orig_params=True, auto_wrap_policy='swin_block_policy'
)
PARTS = {'state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'message_hub', 'shards'}
META = {'epoch', 'iter', 'cfg', 'seed', 'experiment_name', 'time', 'dataset_meta'}
VERSION = {'mmengine_version', 'mmengine'}  # of Runner and of FlexibleRunner
PROGRESS = ('position', 'epoch_length', 'validated', 'sampler_seed')


def write_earlier(source: Path, target: Path, name: str) -> tuple[Path, Path]:
    """Write the config and checkpoint `name` of a work directory as that commit would have.

    Returns:
        The config, and the checkpoint: a file, or a folder of shards.
    """
    target.mkdir()
    (saved,) = source.glob('*.py')
    config, checkpoint = target / saved.name, target / name
    text = earlier_config(Config.fromfile(saved))
    config.write_text(text)
    if (source / name).is_dir():
        shutil.copytree(source / name, checkpoint)
    else:
        shutil.copy(source / name, checkpoint)
    for path in sorted(checkpoint.iterdir()) if checkpoint.is_dir() else [checkpoint]:
        torch.save(earlier_checkpoint(read_checkpoint_file(path), text), path)
    return config, checkpoint


def earlier_config(cfg: Config) -> str:
    own = [RENAMED.get(hook.type, hook.type) for hook in cfg.custom_hooks]
    known = [*ADDED_HOOKS, *(set(own) - {*ADDED_HOOKS, *cfg.pop('added_hooks')})]
    cfg.custom_hooks = [hook for hook, kind in zip(cfg.custom_hooks, own) if kind in known]
    cfg.load_from, cfg.resume = None, False
    if type_name(cfg.get('strategy')) == 'ShardedStrategy':
        cfg.strategy.model_wrapper = FSDP_WRAPPER
    text = cfg.pretty_text
    for current, earlier in RENAMED.items():
        text = text.replace(f"'{current}'", f"'{earlier}'")
    return text


def earlier_checkpoint(checkpoint: dict, text: str) -> dict:
    meta = {key: value for key, value in checkpoint['meta'].items() if key in META | VERSION}
    progress = checkpoint['meta']['swinv2_dense_progress']
    meta |= dict(cfg=text, swinv2_dense_progress={key: progress[key] for key in PROGRESS})
    checkpoint['message_hub']['runtime_info']['cfg'] = text
    return {key: value for key, value in checkpoint.items() if key in PARTS} | dict(meta=meta)
