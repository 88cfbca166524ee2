"""Class names from a text file: of a segmentation data set of one's own, or to infer with."""

from __future__ import annotations

import os

from ..errors import ConfigError


def read_class_names(path: str) -> tuple[str, ...]:
    """The lines of a text file, a class each: the first is that of id 0. Blank lines do not count.

    Raises:
        ConfigError: There is no such file, it is empty or no text, or names a class twice.
    """
    if not os.path.isfile(path):
        raise ConfigError(
            f'class names {path!r}: there is no such file; write one with a class per line, the '
            'first for id 0 of the label maps'
        )
    try:
        with open(path, encoding='utf-8-sig') as file:
            names = tuple(line.strip() for line in file if line.strip())
    except UnicodeDecodeError as error:
        raise ConfigError(f'{path} is no UTF-8 text: {error}') from error
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        problem = f'names {", ".join(repeated)} twice' if repeated else 'is empty'
        raise ConfigError(f'{path} {problem}; it must have one line for each class')
    return names
