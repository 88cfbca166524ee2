"""Train a model."""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from mmengine.config import Config

from ..checks.paths import check_checkpoint
from ..config_parts import set_custom_hook
from ..costs.input_size import training_size
from ..distributed.strategy import check_sharding
from ..errors import ConfigError
from ..resilience.atomic_checkpoints import resume_last, share_resume
from ..resilience.micro_batches import share_micro_batches
from ..resilience.work_dir_lock import lock_work_dir
from ..task import Task
from ..tasks import task_of
from ..training.amp import enable_amp, run_amp_on_cpu
from ..training.auto_batch import find_batch
from ..training.batch_size import scale_learning_rate
from ..training.early_stopping import keep_best, stop_early
from ..training.elastic import keep_global_batch
from ..training.interruption import say_how_to_resume
from ..training.log_backends import log_to
from ..training.prefetch import prefetch
from ..training.terminal import log_prints, on_terminal, quiet_start, rank
from ..training.val_loss import ValLossHook
from .common import build_runner, check_config, load_config
from .options import train_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`train CONFIG [flags]`."""
    args = train_parser().parse_args(argv)
    if args.resume not in (None, 'auto'):
        check_checkpoint('--resume', args.resume)
    cfg = load_config(args)
    is_first = args.launcher == 'none' or rank() == 0  # process of the run
    lock = lock_work_dir(cfg.work_dir) if is_first else nullcontext()
    with say_how_to_resume(cfg.work_dir, argv), lock, quiet_start():
        _train(cfg, args)


def _train(cfg: Config, args: argparse.Namespace) -> None:
    if args.resume and args.resume != 'auto':
        cfg.resume, cfg.load_from = True, args.resume
    elif args.resume or (cfg.get('resume') and not cfg.get('load_from')):
        resume_last(cfg)
    if args.amp:
        enable_amp(cfg, torch.cuda.is_available())
    elif not torch.cuda.is_available():
        run_amp_on_cpu(cfg)
    randomness = dict(seed=args.seed, diff_rank_seed=args.diff_rank_seed)
    randomness = {k: v for k, v in randomness.items() if v is not None and v is not False}
    if args.deterministic:
        randomness['deterministic'] = True
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # torch requires it on CUDA
    if randomness:
        cfg.randomness = dict(seed=None) | dict(cfg.get('randomness', {})) | randomness
    task = task_of(cfg)
    about_processes = keep_global_batch(cfg, task.process_means)
    if args.auto_batch:
        find_batch(cfg, args.auto_batch, _largest_input(cfg, task))
    about_batch = scale_learning_rate(cfg, args.auto_scale_lr)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.save_best:
        keep_best(cfg)
    if args.early_stop:
        stop_early(cfg, args.early_stop)
    if args.fit_schedule:
        cfg.fit_schedule = True
    if args.log_to:
        log_to(cfg, args.log_to)
    check_sharding(cfg)
    if args.val_loss:
        _log_val_loss(cfg)
    loaders = ('train',) if args.no_validate else ('train', 'val')
    check_config(cfg, loaders)
    prefetch(cfg, training=True)
    runner = build_runner(cfg, args.keep)
    share_resume(runner)
    share_micro_batches(runner)
    task.repair_annotations(runner, loaders)
    if about_processes:
        on_terminal(runner.logger, about_processes)
    if about_batch:
        runner.logger.warning(about_batch)
    log_prints()
    runner.train()


def _largest_input(cfg: Config, task: Task) -> tuple[int, ...] | None:
    """(H, W) of the largest training inputs in pixels; None if the config does not say."""
    try:
        return training_size(cfg, task)[-2:]
    except ConfigError:
        return None


def _log_val_loss(cfg: Config) -> None:
    """Add the hook that logs the loss on the validation set.

    Raises:
        ConfigError: The training does not validate.
    """
    if not cfg.get('val_dataloader'):
        raise ConfigError('--val-loss needs val_dataloader in the config, and no --no-validate')
    task = task_of(cfg)
    dataloader = copy.deepcopy(cfg.val_dataloader)
    task.prepare_val_loss(cfg, dataloader.dataset)
    hook = dict(
        type=ValLossHook.__name__,
        dataloader=dataloader,
        targets_in_training_only=task.targets_in_training_only,
    )
    set_custom_hook(cfg, hook)
