"""`python -m swinv2_dense COMMAND` and `swinv2-dense COMMAND`: all commands by their names."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Sequence

from .common import run
from .options import PARSERS

PROGRAM = 'swinv2-dense'


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first argument names."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ('-h', '--help'):
        print(usage())
        sys.exit(0 if words else 2)
    name, *rest = words
    if name not in PARSERS:
        near = difflib.get_close_matches(name, PARSERS, 1)
        remedy = f'did you mean {near[0]!r}?' if near else f'one of {", ".join(PARSERS)}'
        print(f'error: there is no command {name!r}; {remedy}', file=sys.stderr)
        sys.exit(2)
    sys.argv = [f'{PROGRAM} {name}', *rest]  # as usage and messages show it
    run_command(name, rest)


def usage() -> str:
    """Names of the commands, each with the first line of its description."""
    width = max(map(len, PARSERS))
    lines = [f'Usage: {PROGRAM} COMMAND [arguments]', '', 'Commands:']
    for name, parser in PARSERS.items():
        first = re.split(r'[.:] ', ' '.join(parser().description.split()))[0].rstrip('.')
        lines.append(f'  {name:<{width}}  {first}')
    return '\n'.join([*lines, '', f'{PROGRAM} COMMAND --help shows the options of a command.'])


def run_command(name: str, argv: Sequence[str]) -> None:
    """Run a command and exit with its status."""
    module = importlib.import_module(f'.{name}', __package__)
    run(lambda: module.main(argv))
