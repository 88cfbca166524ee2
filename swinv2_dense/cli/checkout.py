"""Commands, configs and paths as a user types them, in a checkout or with an installed package."""

from __future__ import annotations

from pathlib import Path

from .. import config_path

PARENT = Path(__file__).resolve().parents[2]
IS_CHECKOUT = (PARENT / 'tools/train.py').is_file()
ROOT = PARENT if IS_CHECKOUT else Path.cwd()  # relative paths start here


def command_words(name: str) -> list[str]:
    """What follows `python` to run a command in `ROOT`."""
    return [f'tools/{name}.py'] if IS_CHECKOUT else ['-m', 'swinv2_dense', name]


def config_name(path: str) -> str:
    """A config of this package, such as 'configs/detection/x.py'."""
    return path if IS_CHECKOUT else config_path(path.removeprefix('configs/'))


def short_path(path: Path) -> str:
    """A path relative to `ROOT`, if it is in there."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
