"""Plot the curves of trainings."""

from __future__ import annotations

from collections.abc import Sequence

from ..atomic_files import write_bytes
from ..checks.main_metric import main_metric
from ..checks.paths import check_writable_file
from ..errors import ConfigError
from ..reports.page import render
from ..training.curve_page import curve_page
from ..training.curves import draw, read_log, summary
from .options import plot_log_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`plot_log RUN... [flags]`."""
    args = plot_log_parser().parse_args(argv)
    first = args.runs[0]
    out = args.out or (first if first.is_dir() else first.parent) / 'curves.png'
    check_writable_file('--out', out)
    if args.html:
        check_writable_file('--html', args.html)
    logs = [read_log(path) for path in args.runs]
    known = list(dict.fromkeys(key for log in logs for key in log.metrics))
    unknown = [key for key in args.metric or () if key not in known]
    if unknown:
        raise ConfigError(f'--metric {unknown[0]!r}: the logs have {", ".join(known) or "none"}')
    metrics = args.metric or [main_metric(known)] * bool(known)
    out.parent.mkdir(parents=True, exist_ok=True)
    empty = draw(logs, metrics, out)
    for log in logs:
        print(summary(log, metrics))
    if empty:
        print(f'Not in these logs: {", ".join(empty)}')
    print(f'Wrote {out}')
    if args.html:
        args.html.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(args.html, render(curve_page(logs, metrics)).encode())
        print(f'Wrote {args.html}')
