"""Show the help of a command without the seconds that it takes to import torch.

The files in tools/ run this file under the name of their command before they import the package.
"""

from __future__ import annotations

import importlib
import sys
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any


def show_help(command: str, words: list[str]) -> None:
    """Print the help of a command and exit, if its arguments ask for it."""
    words = list(takewhile(lambda word: word != '--', words))
    if not {'-h', '--help'} & set(words):
        return
    first = takewhile(lambda word: not word.startswith('-'), words)  # perhaps a subcommand
    sys.argv[0] = f'{command}.py'  # runpy puts this file there
    _options().PARSERS[command]().parse_args([*first, '--help'])


def _options() -> Any:
    """The options beside this file, in a package whose `__init__` imports nothing."""
    package = ModuleType('swinv2_dense_help')
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules[package.__name__] = package
    return importlib.import_module('.cli.options', package.__name__)


if not __package__:  # run by a file in tools/
    show_help(__name__, sys.argv[1:])
