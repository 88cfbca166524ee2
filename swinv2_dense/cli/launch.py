"""Start a command of the checkout, without the seconds of importing torch if it only shows help.

The files in tools/ run this file by its path and call `launch` with the name of their command.
"""

from __future__ import annotations

import importlib
import sys
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

INTERRUPTED = 130  # status after Ctrl-C, as shells have it


def launch(command: str) -> None:
    """Run a command with the arguments of this process, and exit with its status."""
    show_help(command, sys.argv[1:])
    try:  # torch takes seconds to import
        from .main import run_command
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(INTERRUPTED)
    run_command(command, sys.argv[1:])


def show_help(command: str, words: list[str]) -> None:
    """Print the help of a command and exit, if its arguments ask for it."""
    words = list(takewhile(lambda word: word != '--', words))
    if not {'-h', '--help'} & set(words):
        return
    first = takewhile(lambda word: not word.startswith('-'), words)  # perhaps a subcommand
    _options().PARSERS[command]().parse_args([*first, '--help'])


def _options() -> Any:
    """The options beside this file, in a package whose `__init__` imports nothing."""
    package = ModuleType('swinv2_dense_help')
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules[package.__name__] = package
    return importlib.import_module('.cli.options', package.__name__)
