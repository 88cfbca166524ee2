"""Collect what is wrong and what is left out, each with all its examples."""

from __future__ import annotations

from pathlib import Path

from ...checks.coco_report import line
from ...errors import ConfigError

SHOWN = 2  # examples in the report; notes.txt has all


class Notes:
    """Faults stop the preparation, warnings are named in the report.

    A kind of fault may end in a remedy, after a semicolon.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: dict[str, list[str]] = {}
        self.warnings: dict[str, list[str]] = {}

    def fault(self, kind: str, example: str) -> None:
        self.faults.setdefault(kind, []).append(example)

    def warn(self, kind: str, example: str) -> None:
        self.warnings.setdefault(kind, []).append(example)

    def stop(self) -> None:
        """Raise the faults, if there are any.

        Raises:
            ConfigError: Each kind with its number and its first example, in one line.
        """
        if self.faults:
            found = [line(kind, len(which), which[0]) for kind, which in self.faults.items()]
            raise ConfigError(f'{self.root}: ' + '; '.join(found))

    def short(self) -> list[str]:
        """A line per kind of warning, with its first examples."""
        lines = []
        for kind, which in self.warnings.items():
            rest = f', ... ({len(which) - SHOWN} more)' if len(which) > SHOWN else ''
            lines.append(f'  {len(which)} x {kind}: {", ".join(which[:SHOWN])}{rest}')
        return lines

    def full(self) -> str:
        """All warnings, one line per example."""
        lines = []
        for kind, which in self.warnings.items():
            lines += [f'{len(which)} x {kind}', *(f'    {example}' for example in which), '']
        return '\n'.join(lines)
