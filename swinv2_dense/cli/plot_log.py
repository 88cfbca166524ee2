"""Plot the curves of trainings."""

from __future__ import annotations

from collections.abc import Sequence

from ..checks.main_metric import main_metric
from ..checks.paths import check_writable_file
from ..errors import ConfigError
from ..training.curves import draw, read_log, summary
from .options import plot_log_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`plot_log RUN... [flags]`."""
    args = plot_log_parser().parse_args(argv)
    first = args.runs[0]
    out = args.out or (first if first.is_dir() else first.parent) / 'curves.png'
    check_writable_file('--out', out)
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
