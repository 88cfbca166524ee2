"""Write the zip file for COCO test-dev2017: tools/coco_submission.py RESULTS [--help]."""

import sys
from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='coco_submission')

from swinv2_dense.checks.paths import check_writable
from swinv2_dense.cli.options import coco_submission_parser
from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation.report import format_report
from swinv2_dense.preparation.submission import write_submission


def main() -> None:
    parser = coco_submission_parser()
    args = parser.parse_args()
    try:
        check_writable('--out', args.out)
        written, parts = write_submission(args.results, args.image_info, args.name, args.out)
    except ConfigError as error:
        parser.exit(2, f'error: {error}\n')
    print(format_report(parts))
    if written is None:
        sys.exit(1)
    print(f'\nWrote {written} ({written.stat().st_size / 2**20:.1f} MiB)')


if __name__ == '__main__':
    main()
