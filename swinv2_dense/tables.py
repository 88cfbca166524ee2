"""Tables of plain text that look the same in a terminal, a pipe and a log file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100_000  # of the console, so that no line is wrapped


def text_table(
    rows: Iterable[Sequence[object]],
    header: Sequence[str] | None = None,
    left: Sequence[int] = (0,),
) -> str:
    """Aligned columns, two spaces apart, without trailing spaces.

    Args:
        rows: The cells of each row.
        header: Titles of the columns.
        left: Indices of left-aligned columns; the others are right-aligned.
    """
    cells = [[Text(str(cell)) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, show_header=header is not None)
    for index, title in enumerate(header or cells[0]):
        justify = 'left' if index in left else 'right'
        table.add_column(Text(str(title)), justify=justify, no_wrap=True)
    for row in cells:
        table.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=WIDTH, color_system=None, force_jupyter=False).print(table)
    return '\n'.join(line.rstrip() for line in out.getvalue().rstrip('\n').split('\n'))
