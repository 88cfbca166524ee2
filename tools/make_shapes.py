"""Write the detection data of the quickstart: python tools/make_shapes.py [--help]."""

from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='make_shapes')

from swinv2_dense.checks.paths import check_writable
from swinv2_dense.cli.options import make_shapes_parser
from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset


def main() -> None:
    parser = make_shapes_parser()
    args = parser.parse_args()
    spec = ShapesSpec(args.seed, args.size, args.train, args.val)
    try:
        check_writable('--out', args.out)
        written = write_dataset(args.out, spec)
    except ValueError as error:
        parser.exit(2, f'error: {error}\n')
    print(
        f'{args.out}: {spec.train} training and {spec.val} validation images '
        f'{"written" if written else "already there"}'
    )


if __name__ == '__main__':
    main()
