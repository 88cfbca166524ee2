"""Write the quickstart's data set of textured shapes in COCO format, with semantic maps."""

import argparse
from pathlib import Path

from swinv2_dense.checks.paths import check_writable
from swinv2_dense.quickstart.shapes import ShapesSpec, write_dataset


def main() -> None:
    default = ShapesSpec()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--out', type=Path, default=Path('data/shapes'), help='folder to write')
    parser.add_argument('--seed', type=int, default=default.seed, help='equal seeds, equal files')
    parser.add_argument('--size', type=int, default=default.size, help='image side in pixels')
    parser.add_argument('--train', type=int, default=default.train, help='training images')
    parser.add_argument('--val', type=int, default=default.val, help='validation images')
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
