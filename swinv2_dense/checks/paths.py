"""Check the paths of a command line before anything slow starts; nothing is created."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..errors import ConfigError
from .names import nearest

CHECKPOINTS = ('.pth', '.pt', '.safetensors')


def check_writable(argument: str, folder: str | os.PathLike) -> None:
    """Raise a `ConfigError` if a folder is not writable; it need not exist yet."""
    place = Path(os.path.abspath(os.path.expanduser(folder)))
    existing = next(path for path in (place, *place.parents) if os.path.lexists(path))
    named = f'{argument}={str(folder)!r}'
    if not existing.is_dir():
        raise ConfigError(f'{named}: {existing} is a file; give a folder')
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ConfigError(
            f'{named}: {existing} is not writable ({error.strerror}); give another folder'
        ) from error


def check_writable_file(argument: str, file: str | os.PathLike) -> None:
    """Raise a `ConfigError` if a file cannot be written; it need not exist yet."""
    if os.path.isdir(file):
        raise ConfigError(f'{argument}={str(file)!r} is a folder; give a file')
    check_writable(argument, Path(file).parent)


def check_checkpoint(argument: str, path: str) -> None:
    """Raise a `ConfigError` if the checkpoint of an argument does not exist.

    URLs and paths of other file backends are not checked.
    """
    if path.endswith('.py'):
        raise ConfigError(f'{argument}={path!r} is a config; the order is CONFIG CHECKPOINT')
    if '://' in path or path.startswith('s3:') or os.path.exists(os.path.expanduser(path)):
        return
    folder, name = os.path.split(path)
    others = os.listdir(folder or '.') if os.path.isdir(folder or '.') else []
    found = nearest(name, (other for other in others if other.endswith(CHECKPOINTS)))
    meant = f'; did you mean {os.path.join(folder, found[0])!r}?' if found else ''
    raise ConfigError(f'{argument}={path!r}: there is no such file{meant}')


def saved_config(checkpoint: str, config: str) -> str | None:
    """The config that training saved next to a checkpoint, if it is not the given one."""
    folder = Path(checkpoint).parent
    given = Path(config)
    found = sorted(folder.glob('*.py'), key=lambda path: path.name != given.name)
    others = [path for path in found if path.resolve() != given.resolve()]
    return str(others[0]) if others else None
