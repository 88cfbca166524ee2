"""Check detections on COCO test-dev2017 and write the zip that the evaluation server takes.

RESULTS is PREFIX.bbox.json or PREFIX.segm.json, which tools/test.py writes with the options that
data/README.md shows; each is a submission of its own. The exit status is 0 for a written zip, 1 for
faulty detections, 2 for a mistake in the call.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', metavar='RESULTS', type=Path, help='file of detections')
    parser.add_argument(
        '--image-info',
        type=Path,
        default=Path('data/coco/annotations/image_info_test-dev2017.json'),
        metavar='FILE',
        help='list of the test images (default: %(default)s)',
    )
    parser.add_argument('--name', required=True, help='of the algorithm, as the server shows it')
    parser.add_argument('--out', type=Path, default=Path(), help='folder (default: this one)')
    args = parser.parse_args()
    # Imported here, as torch takes seconds that --help need not wait for.
    from swinv2_dense.checks.paths import check_writable
    from swinv2_dense.errors import ConfigError
    from swinv2_dense.preparation.report import format_report
    from swinv2_dense.preparation.submission import write_submission

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
