"""Shared by the commands: reading and checking a config, building a runner, reporting errors."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch.distributed.elastic.multiprocessing.errors import record

from ..checks.building import ERRORS as BUILD_ERRORS
from ..checks.building import build_error
from ..checks.config import check_config as checks_of_all_tasks
from ..checks.config_file import import_custom_modules, load_config_file
from ..checks.config_types import check_types, scope_of_model
from ..checks.options import merge_options, misspelled_keys
from ..checks.paths import check_writable
from ..checks.pixel_limit import use_flag
from ..config_parts import merge_custom_hooks
from ..distributed.cpu import init_gloo_on_cpu
from ..errors import CheckpointError, ConfigError
from ..resilience.atomic_checkpoints import use_atomic_checkpoints
from ..resilience.resume import make_resumable
from ..tasks import task_of
from ..training.added_hooks import add_hooks
from ..training.interruption import end_interrupted
from ..training.terminal import quiet_warnings, rank

UNWRITABLE = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS)


def run(command: Callable[[], None]) -> None:
    """Run a command. Known errors end it with one line and status 2, Ctrl-C with 130."""
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
        if text is None:  # not an error of the config
            raise
        sys.exit(_fail(text))
    except KeyboardInterrupt as interrupt:
        sys.exit(end_interrupted(interrupt, rank() == 0))


def load_config(args: argparse.Namespace, parts: Sequence[str] | None = None) -> Config:
    """Read the config, merge the flags shared by `train` and `test`, and set the work directory.

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

    Imports its library and this package's extensions of it.

    Args:
        parts: The top-level keys whose types and arguments are checked; all by default.

    Raises:
        ConfigError: There is no such config, no task for its scope, or it cannot be built.
    """
    return complete_config(load_config_file(path), options, parts)


def complete_config(
    cfg: Config, options: dict[str, Any] | None = None, parts: Sequence[str] | None = None
) -> Config:
    """`read_config` of a config that is read."""
    merge_options(cfg, options or {})
    merge_custom_hooks(cfg)
    if cfg.get('default_scope') is None:  # in configs with classes as types
        cfg.default_scope = scope_of_model(cfg)
    task_of(cfg)  # imports the library
    if cfg.get('custom_imports'):
        import_custom_modules(cfg.filename, cfg.custom_imports)  # --cfg-options may add some
    for line in misspelled_keys(cfg) if rank() == 0 else ():
        print(f'warning: {line}', file=sys.stderr)
    check_types(cfg, parts, options or ())
    return cfg


def check_config(cfg: Mapping, loaders: tuple[str, ...]) -> None:
    """Check a config, including the checks of its task; see `checks.config`.

    Args:
        loaders: The dataloaders that the command uses: 'train', 'val', 'test'.

    Raises:
        ConfigError: The first problem found.
    """
    task = task_of(cfg)
    task.check_early(cfg, loaders)
    checks_of_all_tasks(cfg, loaders)
    task.check_config(cfg, loaders)


def use_views(cfg: Config, args: argparse.Namespace) -> None:
    """Apply `--tta`, or `--slice` and `--overlap`.

    Raises:
        ConfigError: They exclude each other, or do not fit the config.
    """
    if args.overlap is not None and not args.slice:
        raise ConfigError(f'--overlap={args.overlap} needs --slice H W')
    if args.slice and args.tta:
        raise ConfigError('--slice and --tta exclude each other; choose one')
    if args.tta:
        task_of(cfg).enable_tta(cfg)
    elif args.slice:
        task_of(cfg).enable_slices(cfg, args.slice, args.overlap)


def build_runner(cfg: Config, keep: int | None = None) -> Runner:
    """The config's runner, with the hooks that this package adds to every run.

    Args:
        cfg: Changed in place.
        keep: How many checkpoints to keep; None: as in the config.

    Raises:
        ConfigError: See `use_atomic_checkpoints`, `add_hooks` and `init_gloo_on_cpu`.
    """
    task = task_of(cfg)
    merge_custom_hooks(cfg)
    make_resumable(cfg)
    use_atomic_checkpoints(cfg, keep)
    task.prepare_run(cfg)
    add_hooks(cfg, task)
    init_gloo_on_cpu(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _fail(error: Exception | str) -> int:
    print(f'error: {error}', file=sys.stderr)
    return 2
