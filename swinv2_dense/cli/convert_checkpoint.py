"""Convert a SwinV2 backbone from any known format to this package's."""

from __future__ import annotations

from collections.abc import Sequence

from ..checkpoints.writing import convert_checkpoint, inspect
from .options import convert_checkpoint_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`convert_checkpoint.py SRC DST [flags]`, or with --inspect without DST."""
    parser = convert_checkpoint_parser()
    args = parser.parse_args(argv)
    if args.inspect == (args.dst is not None):
        parser.error('give either DST or --inspect')
    try:
        if args.inspect:
            print(inspect(args.src, args.prefix))
            return
        meta = convert_checkpoint(args.src, args.dst, args.prefix, args.pretrained_window_sizes)
    except ValueError as error:  # CheckpointError, or windows that are not windows
        parser.exit(2, f'error: {error}\n')
    print(f'Wrote {args.dst}')
    for key, value in meta.items():
        print(f'  {key:<23} {value}')
    print(f"Load it with init_cfg=dict(type='Pretrained', checkpoint={str(args.dst)!r})")
