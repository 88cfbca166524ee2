"""Time and memory of the backbones, compared with other libraries."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..benchmark import check_report
from ..benchmark.check import BACKENDS, PHASES, WINDOWS, Settings, Start, check
from ..benchmark.compare import environment, line, plot, run_case, table
from ..benchmark.worker import Case
from ..checks.paths import check_writable
from ..errors import ConfigError
from .options import benchmark_parser


def cases(args: argparse.Namespace) -> list[Case]:
    """All combinations of the options."""
    found = []
    for arch, size, window, phase, dtype in itertools.product(
        args.arch or ['t'],
        args.size or [(512,)],
        args.window or [(16,)],
        args.phase or ['forward'],
        args.dtype or ['fp32'],
    ):
        rank = max(len(size), 2)
        size, window = (v * rank if len(v) == 1 else v for v in (size, window))
        if len(size) != len(window):
            raise ValueError(f'--size {size} and --window {window} have different numbers of axes')
        found.append(
            Case(
                arch=arch,
                size=size,
                window=window,
                phase=phase,
                dtype=dtype,
                weights=args.weights,
                device=args.device,
                batch=args.batch or 1,
                with_cp=args.with_cp,
                sequential_attention=args.sequential_attention,
                attention_backend=args.backend,
                version=args.version,
            )
        )
    return found


def check_settings(args: argparse.Namespace) -> Settings:
    """The settings of --check.

    Raises:
        ValueError: An option that --check does not take.
    """
    for flag, value, only in (('--version', args.version, 2), ('--weights', args.weights, 'fp32')):
        if value != only:
            raise ValueError(f'{flag} {value}: --check measures {flag} {only} only; drop {flag}')
    for flag, values in (('--arch', args.arch), ('--size', args.size)):
        if values and len(values) > 1:
            raise ValueError(f'{flag} with {len(values)} values: --check takes one')
    for flag, sides in (('--size', args.size or []), ('--window', args.window or [])):
        for side in sides:
            if len(set(side)) > 1 or len(side) > 2:
                text = 'x'.join(map(str, side))
                raise ValueError(f'{flag} {text}: --check takes squares; give one number')
    cuda = args.device == 'cuda'
    chosen = args.phase or ['forward', 'training']
    phases = [p for p in PHASES if ('training' if p == 'frozen' else p) in chosen]
    return Settings(
        device=args.device,
        windows=[window[0] for window in args.window or ()] or WINDOWS[args.device],
        dtypes=args.dtype or ['bf16' if cuda else 'fp32'],
        phases=phases,
        backends=BACKENDS if args.backend == 'auto' else [args.backend],
        peers=args.against,
        arch=args.arch[0] if args.arch else 't',
        pixels=args.size[0][0] if args.size else None,
        batch=args.batch or (2 if cuda else 1),
        with_cp=args.with_cp,
        sequential_attention=args.sequential_attention,
        least=args.runs,
        deadline=None if args.against or not cuda else 270,
    )


def check_backends(settings: Settings, folder: Path, start: Start | None = None) -> None:
    """`--check`: print a table and write check.json and check.txt; exit with 1 if it fails."""
    record = check(settings, start, report=lambda text: print(text, file=sys.stderr, flush=True))
    record['environment'] = environment(settings.device)
    record['recommended'] = check_report.recommendations(record)
    text = check_report.text(record)
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'check.json').write_text(json.dumps(record, indent=1) + '\n')
    (folder / 'check.txt').write_text(text + '\n')
    print(f'Wrote check.json and check.txt to {folder}')
    if not check_report.passed(record):
        sys.exit(1)


def main(argv: Sequence[str] | None = None) -> None:
    """`benchmark [flags]`."""
    parser = benchmark_parser()
    args = parser.parse_args(argv)
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise ConfigError(
            f'--device cuda: torch {torch.__version__} finds no CUDA device; run where there is a '
            'GPU, with a build of torch for CUDA, or use --device cpu'
        )
    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if args.runs < 1 or (args.batch or 1) < 1:
        parser.error('--runs and --batch must be at least 1')
    if args.weights != 'fp32' and args.against:
        parser.error(f'--weights {args.weights} works for our model only: drop --against')
    if args.check and not args.out:
        args.out = Path('work_dirs/check')
    try:
        if args.out:
            check_writable('--out', args.out)
        todo = check_settings(args) if args.check else cases(args)
    except ValueError as error:
        parser.error(str(error))
    if isinstance(todo, Settings):
        check_backends(todo, args.out)
        return
    rows = []
    for case in todo:
        for row in run_case(case, args.against, args.runs):
            rows.append(row)
            print(line(row), file=sys.stderr, flush=True)
    print(table(rows))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        record = dict(environment=environment(args.device), rows=rows)
        (args.out / 'benchmark.json').write_text(json.dumps(record, indent=1))
        (args.out / 'benchmark.md').write_text(table(rows) + '\n')
        plot(rows, args.out / 'benchmark.png')
        print(f'Wrote benchmark.json, benchmark.md and benchmark.png to {args.out}')
    if any('error' in row for row in rows):
        sys.exit(1)
