"""`prepare_data own`: from an annotated folder to a checked dataset with a config."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from .. import config_path
from ..atomic_files import replacing
from ..checks.paths import check_writable
from ..checks.pixel_limit import use_flag
from ..errors import ConfigError
from ..preparation.own.own_config import Plan, write_own_config
from ..preparation.own.prepare import Options, Prepared, prepare, write
from .browse_dataset import build_dataset
from .common import check_config, read_config

STARTS = ('train_dataloader', 'val_dataloader', 'test_dataloader')  # of lines that checks print


def prepare_own(args: argparse.Namespace) -> None:
    """Prepare `args.source`; either all of `args.out` is written or nothing.

    Raises:
        ConfigError: The folder cannot be used; see `preparation.own.prepare`. Or a check of the
            result fails.
    """
    use_flag(args)
    out = Path(os.path.normpath(args.out))
    _check_out(out, args.source)
    options = Options(
        format=args.format,
        target=args.target,
        annotations=args.annotations,
        val_share=args.val,
        seed=args.seed,
        keeps_groups=not args.ignore_groups,
        skip_broken=args.skip_broken,
        reads_bands=args.bands,
        workers=args.workers,
    )
    prepared = prepare(args.source, options)
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out, durable=False) as draft:
        write(prepared, draft)
        work_dir = f'work_dirs/{out.name}'
        plan = write_own_config(
            draft, prepared.target, device, prepared.needs, work_dir, config_path
        )
        checks = _check(draft, out, prepared)
    print('\n'.join([*prepared.report, *checks, '', *_next(plan, prepared, out, device)]))


def _check_out(out: Path, source: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f'--out={str(out)!r} exists; move it away, or choose another folder')
    if out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f'--out={str(out)!r} lies in SRC={str(source)!r}; choose another folder')
    check_writable('--out', out)


def _check(draft: Path, out: Path, prepared: Prepared) -> list[str]:
    """Run the checks of a training on the draft; returns the lines to print.

    Raises:
        ConfigError: The first mistake found.
    """
    printed = io.StringIO()
    with _named(draft, out), contextlib.redirect_stdout(printed):
        cfg = read_config(str(draft / 'own.py'))
        check_config(cfg, ('train', 'val', 'test'))
        for split in ('train', 'val', 'test') if 'test' in prepared.splits else ('train', 'val'):
            build_dataset(cfg, split)
    lines = printed.getvalue().replace(str(draft.absolute()), str(out)).splitlines()
    lines = dict.fromkeys(line for line in lines if line.startswith(STARTS))
    return ['', 'checks of a training: passed', *lines]


@contextlib.contextmanager
def _named(draft: Path, out: Path) -> Iterator[None]:
    """Give errors about the draft the name of the folder that is to be written."""
    try:
        yield
    except ConfigError as error:
        text = str(error).replace(str(draft.absolute()), str(out)).replace(str(draft), str(out))
        raise ConfigError(f'{text} (nothing is written)') from error


def _next(plan: Plan, prepared: Prepared, out: Path, device: str) -> list[str]:
    """The commands that train and test."""
    written = f'Wrote {out} with own.py, dataset.py, statistics.png and notes.txt.'
    is_tool = ' ' not in sys.argv[0]
    start = str(Path(sys.argv[0]).parent / '{}.py') if is_tool else sys.argv[0]
    words = ['python', start] if is_tool else start.split()[:-1] + ['{}']
    config, work_dir = str(out / 'own.py'), f'work_dirs/{out.name}'
    flags = [] if device == 'cpu' else ['--auto-scale-lr']
    if device != 'cpu' and prepared.target not in ('clips', 'images'):  # in bf16 by their schedules
        flags.insert(0, '--amp')

    def command(name: str, *rest: str) -> str:
        return '  ' + shlex.join([word.format(name) for word in words] + [*rest])

    checkpoint = f'{work_dir}/{plan.checkpoint(prepared.target)}'
    unit = 'iterations' if prepared.target == 'maps' else 'epochs'
    model = 'a small model, for a CPU,' if device == 'cpu' else 'a model for a GPU'
    return [
        written,
        f'own.py trains {model} for {plan.length} {unit} with batch {plan.batch}. Next:',
        command('train', config, *flags),
        command('test', config, checkpoint),
    ]
