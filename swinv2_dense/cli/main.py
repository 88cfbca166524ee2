"""`swinv2-dense COMMAND` and `python -m swinv2_dense COMMAND`."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .common import run
from .options import PARSERS


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command named by the first argument."""
    words = list(sys.argv[1:] if argv is None else argv)
    is_module = Path(sys.argv[0]).name == '__main__.py'
    program = 'python -m swinv2_dense' if is_module else 'swinv2-dense'
    if not words or words[0] in ('-h', '--help'):
        print(usage(program))
        sys.exit(0 if words else 2)
    name, *rest = words
    if name not in PARSERS:
        near = difflib.get_close_matches(name, PARSERS, 1)
        remedy = f'did you mean {near[0]!r}?' if near else f'choose from {", ".join(PARSERS)}'
        print(f'error: unknown command {name!r}; {remedy}', file=sys.stderr)
        sys.exit(2)
    sys.argv = [f'{program} {name}', *rest]  # shown in usage lines and messages
    run_command(name, rest)


def usage(program: str) -> str:
    """The commands, each with the first sentence of its description."""
    width = max(map(len, PARSERS))
    lines = [f'Usage: {program} COMMAND [arguments]', '', 'Commands:']
    for name, parser in PARSERS.items():
        first = re.split(r'[.:] ', ' '.join(parser().description.split()))[0].rstrip('.')
        lines.append(f'  {name:<{width}}  {first}')
    return '\n'.join([*lines, '', f'"{program} COMMAND --help" shows the options of a command.'])


def run_command(name: str, argv: Sequence[str]) -> None:
    """Run a command and exit with its status."""
    module = importlib.import_module(f'.{name}', __package__)
    run(lambda: module.main(argv))
