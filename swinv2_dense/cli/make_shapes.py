"""Write the detection dataset of the quickstart."""

from __future__ import annotations

from collections.abc import Sequence

from ..checks.paths import check_writable
from ..errors import ConfigError
from ..quickstart.shapes import ShapesSpec, write_dataset
from .options import make_shapes_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`make_shapes [flags]`."""
    args = make_shapes_parser().parse_args(argv)
    spec = ShapesSpec(args.seed, args.size, args.train, args.val)
    check_writable('--out', args.out)
    try:
        written = write_dataset(args.out, spec)
    except ValueError as error:  # --out holds other data
        raise ConfigError(str(error)) from error
    print(
        f'{args.out}: {spec.train} training and {spec.val} validation images '
        f'{"written" if written else "already there"}'
    )
