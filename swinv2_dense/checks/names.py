"""Suggest the name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Up to `count` known names similar to `name`, the most similar first; ignores case."""
    by_lower = {str(other).lower(): str(other) for other in known}
    found = difflib.get_close_matches(str(name).lower(), by_lower, count, cutoff)
    return [by_lower[other] for other in found]


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or '' if no known name is similar."""
    found = nearest(name, known)
    return f'; did you mean {found[0]!r}?' if found else ''
