"""Write the SwinV2 backbone of a checkpoint of any known format in this package's format.

SRC is a path, a URL or hf://owner/name. DST ends in .safetensors or .pth. With --inspect nothing is
written: the format, arch, windows and divisors of SRC are printed.
"""

import argparse
import ast
from pathlib import Path


def windows(text: str) -> object:
    """A list as in a config."""
    try:
        return ast.literal_eval(text)
    except SyntaxError:
        raise ValueError(text) from None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='SRC', help='checkpoint to read')
    parser.add_argument('dst', metavar='DST', nargs='?', type=Path, help='file to write')
    parser.add_argument('--inspect', action='store_true', help='print what SRC is')
    parser.add_argument('--prefix', help='what the keys of the backbone begin with, if ambiguous')
    parser.add_argument(
        '--pretrained-window-sizes',
        type=windows,
        metavar='[W,W,W,W]',
        help='windows that the weights were trained with, where SRC does not tell',
    )
    args = parser.parse_args()
    # Imported here, as torch takes seconds that --help need not wait for.
    from swinv2_dense.checkpoints.writing import convert_checkpoint, inspect

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
