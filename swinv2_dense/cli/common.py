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
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch.distributed.elastic.multiprocessing.errors import record

from ..checks.building import ERRORS as BUILD_ERRORS
from ..checks.building import build_error
from ..checks.config import check_config, read_repaired
from ..checks.config_file import import_custom_modules, load_config_file
from ..checks.config_types import check_types, scope_of_model
from ..checks.options import merge_options, misspelled_keys
from ..checks.paths import check_checkpoint, check_writable, check_writable_file
from ..checks.pixel_limit import use_flag
from ..config_parts import merge_custom_hooks
from ..det.tta_config import use_tta
from ..distributed.cpu import join_on_cpu
from ..distributed.fsdp import check_sharding, without_sharding
from ..engine.deepspeed import fit_deepspeed
from ..errors import CheckpointError, ConfigError
from ..resilience.atomic_checkpoints import resume_last, write_whole_checkpoints
from ..resilience.resume import make_resumable
from ..resilience.unreadable_samples import skip_unreadable
from ..resilience.work_dir_lock import lock_work_dir
from ..seg.check_classes import use_seg_tta, write_label_maps
from ..training.amp import run_amp_on_cpu, use_amp
from ..training.batch_size import fit_learning_rate
from ..training.interruption import end_interrupted, say_how_to_resume
from ..training.log_backends import log_to
from ..training.prefetch import prefetch
from ..training.terminal import log_prints, quiet_start, quiet_warnings, rank
from .options import test_parser, train_parser

EXTENSIONS = dict(mmdet='swinv2_dense.det', mmseg='swinv2_dense.seg', mmaction='swinv2_dense.video')
TASKS = tuple(EXTENSIONS)
UNWRITABLE = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS)
TESTING = (  # top-level keys that a test reads
    *('model', 'data_preprocessor', 'test_dataloader', 'test_evaluator', 'test_cfg', 'tta_model'),
    *('tta_pipeline', 'default_hooks', 'custom_hooks', 'visualizer', 'log_processor', 'env_cfg'),
    *('randomness', 'strategy'),
)


def train(argv: Sequence[str] | None = None) -> None:
    """Train a model: `train.py CONFIG [flags]`."""
    args = train_parser().parse_args(argv)
    if args.resume not in (None, 'auto'):
        check_checkpoint('--resume', args.resume)
    cfg = load_config(args)
    holds = args.launcher == 'none' or rank() == 0  # of the processes of one run, the first
    lock = lock_work_dir(cfg.work_dir) if holds else nullcontext()
    with say_how_to_resume(cfg.work_dir, argv), lock, quiet_start():
        _train(cfg, args)


def _train(cfg: Config, args: argparse.Namespace) -> None:
    if args.resume and args.resume != 'auto':
        cfg.resume, cfg.load_from = True, args.resume
    elif args.resume or (cfg.get('resume') and not cfg.get('load_from')):
        resume_last(cfg)
    if args.amp:
        use_amp(cfg, torch.cuda.is_available())
    elif not torch.cuda.is_available():
        run_amp_on_cpu(cfg)
    about_batch = fit_learning_rate(cfg, args.auto_scale_lr)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    randomness = dict(seed=args.seed, diff_rank_seed=args.diff_rank_seed)
    randomness = {k: v for k, v in randomness.items() if v is not None and v is not False}
    if args.deterministic:
        randomness['deterministic'] = True
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # torch asks for it on CUDA
    if randomness:
        cfg.randomness = dict(seed=None) | dict(cfg.get('randomness', {})) | randomness
    if args.fit_schedule:
        cfg.fit_schedule = True
    if args.log_to:
        log_to(cfg, args.log_to)
    check_sharding(cfg)
    fit_deepspeed(cfg)
    loaders = ('train',) if args.no_validate else ('train', 'val')
    check_config(cfg, loaders)
    prefetch(cfg, training=True)
    runner = build_runner(cfg, args.keep)
    read_repaired(runner, loaders)
    if about_batch:
        runner.logger.warning(about_batch)
    log_prints()
    runner.train()


def test(argv: Sequence[str] | None = None) -> None:
    """Test a model: `test.py CONFIG CHECKPOINT [flags]`."""
    args = test_parser().parse_args(argv)
    check_checkpoint('CHECKPOINT', args.checkpoint)
    for argument, file in (('--out', args.out), ('--dump', args.dump)):
        if file and file.endswith(('.pkl', '.pickle')):
            check_writable_file(argument, file)
        elif file:
            check_writable(argument, file)
    if args.show_dir:
        check_writable('--show-dir', args.show_dir)
    cfg = load_config(args, TESTING)
    without_sharding(cfg)
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True  # mmengine's autocast: fp16, on the CPU bf16
    if args.show or args.show_dir:
        from ..drawing.options import draw_predictions  # with matplotlib

        folder = os.path.abspath(args.show_dir) if args.show_dir else None
        draw_predictions(cfg, folder, args.interval, args.show, args.wait_time)
    if args.tta:
        (use_seg_tta if cfg.default_scope == 'mmseg' else use_tta)(cfg)
    pickled = args.dump
    if args.out and args.out.endswith(('.pkl', '.pickle')):
        pickled = args.out
    elif args.out and cfg.default_scope == 'mmseg':
        write_label_maps(cfg, args.out)
    elif args.out:
        raise ConfigError(f'--out={args.out!r} must end in .pkl (a folder is for mmseg configs)')
    if args.skip_unreadable:
        skip_unreadable(cfg)
    check_config(cfg, ('test',))
    prefetch(cfg, training=False)
    with quiet_start():
        runner = build_runner(cfg)
        read_repaired(runner, ('test',))
        if pickled:
            runner.test_evaluator.metrics.append(_dump_metric(cfg.default_scope, pickled))
        log_prints()
        runner.test()


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


def _dump_metric(scope: str, path: str) -> object:
    if scope == 'mmdet':
        from mmdet.evaluation import DumpDetResults

        return DumpDetResults(out_file_path=path)
    from mmengine.evaluator import DumpResults

    return DumpResults(out_file_path=path)
