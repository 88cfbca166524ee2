"""Write the zip file for the evaluation server of COCO test-dev2017."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..checks.paths import check_writable
from ..preparation.report import format_report
from ..preparation.submission import write_submission
from .options import coco_submission_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`coco_submission RESULTS [flags]`. Exits with status 1 if the results are faulty."""
    args = coco_submission_parser().parse_args(argv)
    check_writable('--out', args.out)
    written, parts = write_submission(args.results, args.image_info, args.name, args.out)
    print(format_report(parts))
    if written is None:
        sys.exit(1)
    print(f'\nWrote {written} ({written.stat().st_size / 2**20:.1f} MiB)')
