"""Read the tables that commands print."""

from __future__ import annotations

import re


def rows_of(printed: str) -> dict[str, list[str]]:
    """The other cells of each row by its first cell; columns are two or more spaces apart."""
    rows = (re.split(' {2,}', line.strip()) for line in printed.splitlines())
    return {first: rest for first, *rest in rows}
