"""Strip a training checkpoint for release: tools/publish_checkpoint.py SRC DST [--help]."""

from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='publish_checkpoint')

from swinv2_dense.checkpoints.writing import publish_checkpoint
from swinv2_dense.cli.options import publish_checkpoint_parser
from swinv2_dense.errors import CheckpointError


def main() -> None:
    parser = publish_checkpoint_parser()
    args = parser.parse_args()
    try:
        written = publish_checkpoint(args.src, args.dst)
    except CheckpointError as error:
        parser.exit(2, f'error: {error}\n')
    print(f'Wrote {written} ({written.stat().st_size / 2**20:.1f} MiB)')


if __name__ == '__main__':
    main()
