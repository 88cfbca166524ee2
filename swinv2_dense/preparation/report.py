"""Collect and print the findings of a check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from ..tables import text_table

NUM_EXAMPLES = 5  # shown for each kind of finding
Item = TypeVar('Item')


@dataclass
class Finding:
    """How often something was found, and the first examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class ReportRow:
    """A row of the report: a file or folder of a dataset.

    A fault breaks or distorts a training or an evaluation. A warning is something that the library
    handles.
    """

    name: str
    unit: str  # of `found` and `expected`, plural
    found: int = 0
    expected: int | None = None
    note: str = ''  # replaces the status of an optional part
    faults: dict[str, Finding] = field(default_factory=dict)
    warnings: dict[str, Finding] = field(default_factory=dict)

    def fault(self, kind: str, example: str) -> None:
        """Record one occurrence of a fault."""
        _record(self.faults, kind, example)

    def warn(self, kind: str, example: str) -> None:
        """Record one occurrence of a warning."""
        _record(self.warnings, kind, example)

    @property
    def status(self) -> str:
        """Last column of the report."""
        if self.faults:
            return 'FAULTS'
        return self.note or ('ok, with warnings' if self.warnings else 'ok')


def progress(items: Iterable[Item], title: str, total: int | None) -> Iterable[Item]:
    """The items, with a progress bar on standard error."""
    return track(items, title, total, console=Console(stderr=True))


def is_sound(parts: Sequence[ReportRow]) -> bool:
    """Whether no part has a fault."""
    return not any(part.faults for part in parts)


def format_report(parts: Sequence[ReportRow]) -> str:
    """A table of the rows, then each kind of fault and warning with its first examples."""
    rows = []
    for part in parts:
        expected = '' if part.expected is None else f'{part.expected:,}'
        found = '' if part.note else f'{part.found:,} {part.unit}'
        rows.append((part.name, found, expected, part.status))
    lines = [text_table(rows, ['part', 'found', 'expected', 'status'], left=(0, 3))]
    for title in ('faults', 'warnings'):
        findings = [line for part in parts for line in _findings(part, getattr(part, title))]
        lines += ['', f'{title}:', *findings] if findings else []
    return '\n'.join(lines)


def _record(findings: dict[str, Finding], kind: str, example: str) -> None:
    finding = findings.setdefault(kind, Finding())
    finding.count += 1
    if len(finding.examples) < NUM_EXAMPLES:
        # json accepts lone surrogates, which cannot be printed.
        finding.examples.append(example.encode(errors='backslashreplace').decode())


def _findings(part: ReportRow, findings: dict[str, Finding]) -> list[str]:
    lines = []
    for kind, finding in findings.items():
        lines.append(f'  {part.name}: {finding.count:,} x {kind}')
        lines += [f'    {example}' for example in finding.examples]
        if finding.count > len(finding.examples):
            lines.append(f'    ... and {finding.count - len(finding.examples):,} more')
    return lines
