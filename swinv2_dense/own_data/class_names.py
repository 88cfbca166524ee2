"""Read class names from a text file, for your own segmentation dataset or for inference."""

from __future__ import annotations

import os

from ..errors import ConfigError


def read_class_names(path: str) -> tuple[str, ...]:
    """Class names from a text file, one per line, starting with id 0; blank lines are ignored.

    Raises:
        ConfigError: There is no such file, it is empty or not text, or repeats a name.
    """
    if not os.path.isfile(path):
        raise ConfigError(
            f'class names {path!r}: there is no such file; create it with one class per line, '
            'starting with id 0 of the label maps'
        )
    try:
        with open(path, encoding='utf-8-sig') as file:
            names = tuple(line.strip() for line in file if line.strip())
    except UnicodeDecodeError as error:
        raise ConfigError(f'{path} is not UTF-8 text: {error}') from error
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        problem = f'repeats {", ".join(repeated)}' if repeated else 'is empty'
        raise ConfigError(f'{path} {problem}; it must have one line per class')
    return names
