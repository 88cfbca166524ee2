"""Options of several commands."""

from __future__ import annotations

import argparse
from typing import Any

from ...choices import MAX_PIXELS

DEFAULT = '(default: %(default)s)'


def command_parser(description: str) -> argparse.ArgumentParser:
    """A parser that keeps the lines of its description."""
    return argparse.ArgumentParser(
        description=description.strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )


class CfgOptionsAction(argparse.Action):
    """`checks.options.OptionsAction`, imported only if there are options to parse."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        from ...checks.options import OptionsAction

        action = OptionsAction(self.option_strings, self.dest, self.nargs)
        action(parser, namespace, values, option_string)


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', metavar='CONFIG', help='config file')


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. model.backbone.arch=s "a.b=[1,2]"',
    )


def add_slices(parser: argparse.ArgumentParser) -> None:
    """`--slice` and `--overlap`; `Task.enable_slices` applies them."""
    parser.add_argument(
        '--slice',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='mmdet: detect in overlapping slices of this size in pixels, for small objects in '
        'large images',
    )
    parser.add_argument(
        '--overlap',
        type=int,
        metavar='PIXELS',
        help='pixels that neighboring slices share; objects up to this size are found whole '
        '(default: a fifth of the shorter side)',
    )


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """`--max-pixels`; `checks.pixel_limit.use_flag` sets the limit."""
    parser.add_argument(
        '--max-pixels',
        type=int,
        metavar='N',
        help=f'do not read images, maps and frames with more pixels (default: {MAX_PIXELS:,})',
    )


def positive(text: str) -> int:
    """A type of options."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a positive integer')
    return int(text)


def gib(text: str) -> float:
    """A type of options."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} is not a positive number of GiB')
    return value
