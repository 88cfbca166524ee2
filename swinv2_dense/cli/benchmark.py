"""Time and memory of the backbones, compared with other libraries."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence

import torch

from ..benchmark.compare import environment, line, plot, run_case, table
from ..benchmark.worker import Case
from ..checks.paths import check_writable
from .options import benchmark_parser


def cases(args: argparse.Namespace) -> list[Case]:
    """All combinations of the options."""
    found = []
    for arch, size, window, phase, dtype in itertools.product(
        args.arch, args.size, args.window, args.phase, args.dtype
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
                batch=args.batch,
                with_cp=args.with_cp,
                sequential_attention=args.sequential_attention,
                attention_backend=args.backend,
                version=args.version,
            )
        )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """`benchmark [flags]`."""
    parser = benchmark_parser()
    args = parser.parse_args(argv)
    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if args.runs < 1 or args.batch < 1:
        parser.error('--runs and --batch must be at least 1')
    if args.weights != 'fp32' and args.against:
        parser.error(f'--weights {args.weights} works for our model only: drop --against')
    try:
        if args.out:
            check_writable('--out', args.out)
        todo = cases(args)
    except ValueError as error:
        parser.error(str(error))
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
