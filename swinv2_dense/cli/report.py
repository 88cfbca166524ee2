"""Write a page about saved predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..checks.paths import check_writable
from ..checks.pixel_limit import use_flag
from ..errors import ConfigError
from ..reports.hook import write_report
from ..reports.page import check_folder
from ..reports.saved import read_predictions
from ..tasks import task_of
from .browse_dataset import build_dataset
from .common import read_config
from .options import report_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`report CONFIG PREDICTIONS [flags]`."""
    args = report_parser().parse_args(argv)
    use_flag(args)
    folder = Path(args.out or args.predictions.parent / 'report')
    check_writable('--out', folder)
    check_folder(folder)
    predictions, are_records = read_predictions(args.predictions)
    cfg = read_config(args.config, args.cfg_options, ['test_dataloader'])
    task = task_of(cfg)
    task.prepare_drawing(cfg)
    reporter = task.build_reporter(build_dataset(cfg, 'test'))
    try:
        records = predictions if are_records else list(map(reporter.record, predictions))
        facts = [('Config', args.config), ('Predictions', str(args.predictions))]
        page = write_report(folder, reporter, records, facts)
    except KeyError as error:
        raise ConfigError(
            f'{args.predictions} does not fit {args.config}: a {task.name} needs {error} in every '
            'prediction'
        ) from error
    print(f'Wrote {page}')
