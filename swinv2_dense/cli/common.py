"""Behind tools/train.py and tools/test.py: the flags of mmdet, mmseg and mmaction2 in one place.

The task is read from the config's `default_scope`. Flags that the three spell differently are all
accepted.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch.distributed.elastic.multiprocessing.errors import record

from ..checks.building import ERRORS as BUILD_ERRORS
from ..checks.building import build_error
from ..checks.config_file import import_custom_modules, load_config_file
from ..checks.config_types import check_types, scope_of_model
from ..checks.options import merge_options, misspelled_keys
from ..checks.paths import check_writable
from ..checks.pixel_limit import use_flag
from ..config_parts import merge_custom_hooks
from ..distributed.cpu import join_on_cpu
from ..errors import CheckpointError, ConfigError
from ..resilience.atomic_checkpoints import write_whole_checkpoints
from ..resilience.resume import make_resumable
from ..training.interruption import end_interrupted
from ..training.terminal import quiet_warnings, rank

EXTENSIONS = dict(mmdet='swinv2_dense.det', mmseg='swinv2_dense.seg', mmaction='swinv2_dense.video')
TASKS = tuple(EXTENSIONS)
UNWRITABLE = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS)


def run(command: Callable[[], None]) -> None:
    """Run a command line; a mistake ends it with one line and status 2, Ctrl-C with 130."""
    quiet_warnings()
    if 'TORCHELASTIC_ERROR_FILE' in os.environ:
        command = record(command)  # tells torchrun which process failed first, and why
    try:
        command()
    except (ConfigError, CheckpointError) as error:
        sys.exit(_fail(error))
    except OSError as error:
        if error.errno not in UNWRITABLE or not error.filename:
            raise
        sys.exit(_fail(f'{error.filename} cannot be written: {error.strerror}'))
    except BUILD_ERRORS as error:
        text = build_error(error)
        if text is None:  # not of the config
            raise
        sys.exit(_fail(text))
    except KeyboardInterrupt as interrupt:
        sys.exit(end_interrupted(interrupt, rank() == 0))


def load_config(args: argparse.Namespace, parts: Sequence[str] | None = None) -> Config:
    """Read the config, merge the flags that all commands share and decide on the work directory.

    Raises:
        ConfigError: See `read_config`.
    """
    use_flag(args)
    cfg = read_config(args.config, args.cfg_options, parts)
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('./work_dirs', Path(args.config).stem)
    check_writable('--work-dir' if args.work_dir else 'work_dir', cfg.work_dir)
    return cfg


def read_config(
    path: str, options: dict[str, Any] | None = None, parts: Sequence[str] | None = None
) -> Config:
    """A config with its `default_scope`, and `options` merged into it.

    Its library and this package's extensions of it are imported.

    Args:
        parts: The top-level keys whose types and arguments are checked; all by default.

    Raises:
        ConfigError: There is no such config, its scope is none of `TASKS`, or what it says cannot
            be built.
    """
    cfg = load_config_file(path)
    merge_options(cfg, options or {})
    merge_custom_hooks(cfg)
    if cfg.get('default_scope') is None:  # as in configs that name classes instead of strings
        cfg.default_scope = scope_of_model(cfg)
    if cfg.get('default_scope') not in TASKS:
        raise ConfigError(
            f'default_scope={cfg.default_scope!r} of {path}: set the library of its '
            f'model, one of {", ".join(TASKS)}'
        )
    importlib.import_module(EXTENSIONS[cfg.default_scope])
    if cfg.get('custom_imports'):
        import_custom_modules(path, cfg.custom_imports)  # of --cfg-options
    for line in misspelled_keys(cfg) if rank() == 0 else ():
        print(f'warning: {line}', file=sys.stderr)
    check_types(cfg, parts, options or ())
    return cfg


def build_runner(cfg: Config, keep: int | None = None) -> Runner:
    """The config's runner, with the hooks that this package adds to every run."""
    importlib.import_module(EXTENSIONS[cfg.default_scope])
    merge_custom_hooks(cfg)
    make_resumable(cfg)
    write_whole_checkpoints(cfg, keep)
    hooks = ['CheckFilesHook', 'BackboneWeightsHook', 'LoadReportHook', 'ResultsHook']
    hooks += ['ResumeSettingsHook', 'StartReportHook', 'CheckBatchNormHook']
    hooks += ['UndefinedMetricsHook', 'ResumeHook', 'PreemptionHook', 'MissedValidationHook']
    hooks += ['CheckpointClassesHook']
    hooks += ['DataFaultsHook', 'NonFiniteHook']
    if cfg.default_scope == 'mmdet':
        from ..det import separate_classwise_keys

        separate_classwise_keys(cfg)
        hooks.insert(1, 'CheckImagesHook')
        hooks.append('Fp32BordersHook')
    elif cfg.default_scope == 'mmseg':
        hooks[1:1] = ['CheckImagesHook', 'CheckLabelMapsHook']
    else:
        from ..video.few_classes import drop_certain_topk
        from ..video.label_map import name_classes

        name_classes(cfg)
        drop_certain_topk(cfg)
        hooks.append('Fp32ScoresHook')
    present = {hook.get('type') for hook in cfg.get('custom_hooks') or []}
    new = [ConfigDict(type=hook) for hook in hooks if hook not in present]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), *new]
    join_on_cpu(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _fail(error: Exception | str) -> int:
    print(f'error: {error}', file=sys.stderr)
    return 2
