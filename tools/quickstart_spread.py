"""How the metrics of the quickstart vary: python tools/quickstart_spread.py [--help]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='quickstart_spread')

from swinv2_dense.cli.options import quickstart_spread_parser
from swinv2_dense.quickstart.spread import measure, plan_runs, table

ROOT = Path(__file__).resolve().parents[1]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = quickstart_spread_parser()
    args = parser.parse_args(argv)
    if args.jobs < 1:
        parser.error(f'--jobs {args.jobs}: must be 1 or more')
    args.work_dir = args.work_dir or ROOT / 'work_dirs/quickstart_spread'
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    runs = plan_runs(args.task, args.seeds, args.capabilities)
    records = measure(runs, ROOT / 'tools/quickstart.py', args.work_dir.resolve(), args.jobs)
    print(table(records))
    return 0 if len(records) == len(runs) and all(r['reached'] for r in records) else 1


if __name__ == '__main__':
    sys.exit(main())
