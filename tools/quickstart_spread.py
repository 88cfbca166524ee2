"""Measure how the quickstart's metrics vary: each task with several seeds and instruction sets.

Runs tools/quickstart.py for every combination and prints minimum, median and maximum of each
metric. Finished runs are kept, one line of JSON each, in WORK_DIR/spread.jsonl, and skipped when
the command is repeated. Use a new WORK_DIR after a change of configs or data: the file does not
know which settings its runs had. Exit status 1 if a run failed or missed its target.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from swinv2_dense.quickstart.examples import EXAMPLES
from swinv2_dense.quickstart.spread import CAPABILITIES, measure, plan_runs, table

ROOT = Path(__file__).resolve().parents[1]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--task', nargs='+', choices=EXAMPLES, default=list(EXAMPLES))
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument(
        '--capabilities',
        nargs='+',
        choices=CAPABILITIES,
        default=list(CAPABILITIES),
        help='ATEN_CPU_CAPABILITY, native for the best that this machine has',
    )
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time')
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/quickstart_spread')
    args = parser.parse_args(argv)
    if args.jobs < 1:
        parser.error(f'--jobs {args.jobs}: must be 1 or more')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    runs = plan_runs(args.task, args.seeds, args.capabilities)
    records = measure(runs, ROOT / 'tools/quickstart.py', args.work_dir.resolve(), args.jobs)
    print(table(records))
    return 0 if len(records) == len(runs) and all(r['reached'] for r in records) else 1


if __name__ == '__main__':
    sys.exit(main())
