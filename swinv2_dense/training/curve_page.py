"""The page with the curves of one or several trainings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..reports.page import Charts, Lines, Page, Table
from .curves import LOSSES, METRICS, PROGRESS, Chart, Points, TrainingLog, charts

STEPS = 6  # of an axis, at most


def curve_page(logs: Sequence[TrainingLog], metrics: Sequence[str]) -> Page:
    """A table of the runs, and a chart for each quantity in any log."""
    shown, missing = charts(logs, metrics)
    blocks: list[Any] = [_table(logs, metrics)]
    for part in (LOSSES, METRICS, PROGRESS):
        several = [_lines(chart) for chart in shown if chart.part == part]
        if several:
            note = 'Dashed: on the validation set.' if _has_validation(shown, part) else ''
            blocks.append(Charts(part, several, note))
    facts = [('Runs', ', '.join(log.name for log in logs))]
    if missing:
        facts.append(('Not in the logs', ', '.join(missing)))
    return Page('Curves of trainings', facts, blocks)


def _has_validation(shown: Iterable[Chart], part: str) -> bool:
    return any(c.validation for chart in shown if chart.part == part for c in chart.curves)


def _table(logs: Sequence[TrainingLog], metrics: Sequence[str]) -> Table:
    columns = [dict(name='Run', kind='text'), dict(name='Iterations', kind='number', digits=0)]
    columns += [dict(name=name, kind='number', digits=4) for name in ('Loss', 'Lowest loss')]
    for key in metrics:
        columns += [
            dict(name=f'{end} {key}', kind='number', digits=4) for end in ('Last', 'Highest')
        ]
    rows = []
    for log in logs:
        losses = _values(log.points(lambda record: record.get('loss')))
        row: list[Any] = [log.name, max(log.training), *(_ends(losses, min))]
        for key in metrics:
            row += _ends(_values(log.metric(key)), max)
        rows.append(row)
    return Table('Runs', columns, rows)


def _values(points: Points) -> list[float]:
    return [value for _, value in _drawable(points)]


def _ends(values: list[float], best: Callable) -> list[float | None]:
    return [values[-1], best(values)] if values else [None, None]


def _lines(chart: Chart) -> Lines:
    series = [
        dict(name=curve.name, points=_drawable(curve.points), color=curve.run,
             dash=int(curve.validation))
        for curve in chart.curves
    ]  # fmt: skip
    points = [point for entry in series for point in entry['points']]
    x = dict(axis([0.0, *(point[0] for point in points)]), name=chart.unit)
    y = dict(axis([point[1] for point in points]), name='')
    return Lines(chart.title, x, y, series, shown=len(series))


def _drawable(points: Iterable[tuple[float, float]]) -> list[list[float]]:
    """Without values that are not numbers: a loss may be NaN."""
    return [[x, y] for x, y in points if math.isfinite(y)]


def axis(values: Sequence[float]) -> dict[str, float]:
    """`min` and `max` around values, and the number of `steps` between, at round numbers."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = high - low or abs(high) or 1.0
    exponent = math.floor(math.log10(span / STEPS))
    for step in (10.0 ** (exponent + more) * digit for more in (0, 1) for digit in (1, 2, 5)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= STEPS:
            break
    last = max(last, first + 1)
    return dict(min=first * step, max=last * step, steps=last - first)
