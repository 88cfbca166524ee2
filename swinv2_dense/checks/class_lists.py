"""Compare two lists of class names, which labels index."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from ..errors import ConfigError


def first_difference(
    first: Sequence[str],
    second: Sequence[str],
    owners: tuple[str, str] = ('the checkpoint', 'the data'),
) -> str | None:
    """Describe the first class that differs, naming the owners of both lists; None if none does."""
    pairs = list(zip_longest(first, second))
    different = [i for i, (old, new) in enumerate(pairs) if old != new]
    if not different:
        return None
    at = different[0]
    old, new = (f'{name!r}' if name is not None else 'none' for name in pairs[at])
    text = f'class {at} is {old} in {owners[0]} and {new} in {owners[1]}'
    if len(first) != len(second):
        return f'{text} ({owners[0]} has {len(first)} classes, {owners[1]} {len(second)})'
    if sorted(first) == sorted(second):
        return f'{text} (the same {len(first)} names in another order)'
    return f'{text} ({len(different)} of {len(first)} differ)'


def check_same_classes(first: tuple[str, Sequence[str]], second: tuple[str, Sequence[str]]) -> None:
    """Raise a `ConfigError` unless two datasets, given as (key, classes), have the same classes."""
    difference = first_difference(first[1], second[1], (first[0], second[0]))
    if difference:
        raise ConfigError(
            f'{difference}: labels index metainfo.classes, so both lists must be identical'
        )
