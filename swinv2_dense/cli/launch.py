"""Starts the commands in tools/, and shows their help without importing torch, which takes seconds.

The files in tools/ run this file by its path and call `launch` with the name of their command.
"""

from __future__ import annotations

import importlib
import sys
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

INTERRUPTED = 130  # exit status after Ctrl-C, as in shells


def launch(command: str) -> None:
    """Run a command with the arguments of this process, and exit with its status."""
    show_help(command, sys.argv[1:])
    try:  # not relative: this file is run by its path, outside of its package
        from swinv2_dense.cli.main import run_command
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(INTERRUPTED)
    run_command(command, sys.argv[1:])


def show_help(command: str, words: list[str]) -> None:
    """Print the help of a command and exit, if the arguments ask for it."""
    words = list(takewhile(lambda word: word != '--', words))
    if not {'-h', '--help'} & set(words):
        return
    first = takewhile(lambda word: not word.startswith('-'), words)  # a subcommand, perhaps
    _options().PARSERS[command]().parse_args([*first, '--help'])


def _options() -> Any:
    """The package `options` next to this file, imported without the `__init__` of swinv2_dense."""
    package = ModuleType('swinv2_dense_help')
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules[package.__name__] = package
    return importlib.import_module('.cli.options', package.__name__)
