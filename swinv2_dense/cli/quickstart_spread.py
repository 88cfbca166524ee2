"""How the metrics of the quickstart vary over seeds and CPU instruction sets."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..quickstart.spread import measure, plan_runs, table
from .checkout import ROOT
from .options import quickstart_spread_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`quickstart_spread [flags]`. Exits with status 1 if a run fails or misses its target."""
    parser = quickstart_spread_parser()
    args = parser.parse_args(argv)
    if args.jobs < 1:
        parser.error(f'--jobs {args.jobs}: must be 1 or more')
    work_dir = (args.work_dir or ROOT / 'work_dirs/quickstart_spread').resolve()
    runs = plan_runs(args.task, args.seeds, args.capabilities)
    quickstart = [sys.executable, '-m', 'swinv2_dense', 'quickstart']
    records = measure(runs, quickstart, work_dir, args.jobs)
    print(table(records))
    sys.exit(0 if len(records) == len(runs) and all(r['reached'] for r in records) else 1)
