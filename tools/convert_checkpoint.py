"""Convert a SwinV2 backbone from any known format: tools/convert_checkpoint.py SRC DST [--help]."""

from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='convert_checkpoint')

from swinv2_dense.checkpoints.writing import convert_checkpoint, inspect
from swinv2_dense.cli.options import convert_checkpoint_parser


def main() -> None:
    parser = convert_checkpoint_parser()
    args = parser.parse_args()
    if args.inspect == (args.dst is not None):
        parser.error('give either DST or --inspect')
    try:
        if args.inspect:
            print(inspect(args.src, args.prefix))
            return
        meta = convert_checkpoint(args.src, args.dst, args.prefix, args.pretrained_window_sizes)
    except ValueError as error:  # CheckpointError, or windows that are none
        parser.exit(2, f'error: {error}\n')
    print(f'Wrote {args.dst}')
    for key, value in meta.items():
        print(f'  {key:<23} {value}')
    print(f"Load it with init_cfg=dict(type='Pretrained', checkpoint={str(args.dst)!r})")


if __name__ == '__main__':
    main()
