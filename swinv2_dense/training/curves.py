"""Reads mmengine's JSON logs, and draws curves of one or several trainings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..errors import ConfigError

# Keys that are not metrics: times in seconds, memory in MiB, progress.
NO_METRICS = ('lr', 'base_lr', 'data_time', 'time', 'memory', 'step', 'epoch', 'iter', 'grad_norm')
LOSSES, METRICS, PROGRESS = 'Losses', 'Metrics', 'Learning rate, speed and memory'
OPTIONAL = 'gradient norm'  # of trainings that clip it
WIDTH = 12  # of a row of panels, in columns; a row has 1 to 4 panels
Points = list[tuple[float, float]]


class TrainingLog(NamedTuple):
    """Records of a training by step. After a resume, later records replace earlier ones."""

    name: str
    training: dict[int, dict[str, float]]
    evaluations: dict[int, dict[str, float]]

    @property
    def by_epoch(self) -> bool:
        """Whether evaluations are counted in epochs."""
        return any('epoch' in record for record in self.training.values())

    def points(self, value: Callable[[dict[str, float]], float | None]) -> Points:
        """(iteration, value) of the training records for which `value` is not None."""
        found = ((step, value(record)) for step, record in sorted(self.training.items()))
        return [(step, y) for step, y in found if y is not None]

    def metric(self, key: str) -> Points:
        """(epoch or iteration, value) of a metric."""
        found = sorted(self.evaluations.items())
        return [(step, record[key]) for step, record in found if key in record]

    @property
    def losses(self) -> list[str]:
        """Names of the losses, the total first."""
        keys = (key for record in self.training.values() for key in record)
        return sorted(filter(_is_loss, dict.fromkeys(keys)), key=lambda key: key != 'loss')

    def validation_loss(self, key: str = 'loss') -> Points:
        """(iteration, value) of a validation loss that `--val-loss` logs."""
        ends: dict[float, int] = {}  # last iteration of each epoch
        for step, record in sorted(self.training.items()):
            ends[record.get('epoch', step)] = step
        found = self.metric(f'val_{key}')
        return [(ends.get(step, step) if self.by_epoch else step, loss) for step, loss in found]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order of the log."""
        keys = (key for record in self.evaluations.values() for key in record)
        return [
            key
            for key in dict.fromkeys(keys)
            if key not in NO_METRICS and not (key.startswith('val_') and _is_loss(key))
        ]


def _is_loss(key: str) -> bool:
    return 'loss' in key.rpartition('.')[2]


def read_log(path: Path) -> TrainingLog:
    """The records of all runs in a work directory, or of one scalars.json.

    Raises:
        ConfigError: There is no log, it has no training records, or a line is not JSON.
    """
    files = sorted(path.glob('*/vis_data/scalars.json')) if path.is_dir() else [path]
    files = [file for file in files if file.is_file()]
    if not files:
        raise ConfigError(
            f'{path}: no log found; give the work directory of a training, with '
            '*/vis_data/scalars.json, or such a file'
        )
    training: dict[int, dict] = {}
    evaluations: dict[int, dict] = {}
    for file in files:  # in the order of their start times
        for record in _records(file):
            part = training if 'loss' in record else evaluations
            if 'step' in record:
                part[record['step']] = record
    if not training:
        raise ConfigError(f'{path}: {files[-1]} has no record with a loss')
    return TrainingLog(path.name if path.is_dir() else str(path), training, evaluations)


def _records(file: Path) -> list[dict[str, float]]:
    records = []
    lines = file.read_text().splitlines()
    for i, line in enumerate(lines):
        try:
            record = json.loads(line) if line.strip() else {}
        except ValueError as error:
            if i + 1 == len(lines):  # cut off when the run was killed
                break
            raise ConfigError(f'{file}, line {i + 1} is not JSON: {error}') from error
        records.append(record if isinstance(record, dict) else {})
    return [{k: v for k, v in record.items() if _is_number(v)} for record in records]


def _is_number(value: object) -> bool:
    """Whether it can be drawn: a float or an integer of at most 64 bits."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


class Curve(NamedTuple):
    """A curve of a run in a chart; those of validation losses are dashed."""

    name: str
    run: int
    points: Points
    validation: bool = False


class Chart(NamedTuple):
    """Curves of one quantity of all runs; `part` is what it belongs to on a page."""

    title: str
    part: str
    unit: str
    curves: list[Curve]


def charts(logs: Sequence[TrainingLog], metrics: Sequence[str]) -> tuple[list[Chart], list[str]]:
    """A chart for each loss, the learning rate, each metric, speed and memory.

    Returns:
        Those with curves, and the quantities that are in none of the logs.
    """
    losses = dict.fromkeys(key for log in logs for key in log.losses)
    lines = [_loss_chart(key, logs) for key in losses]
    values = {
        ('learning rate', PROGRESS): lambda log: log.points(lambda r: r.get('lr')),
        **{(key, METRICS): lambda log, key=key: log.metric(key) for key in metrics},
        ('gradient norm', PROGRESS): lambda log: log.points(lambda r: r.get('grad_norm')),
        ('iterations per second', PROGRESS): lambda log: log.points(_speed),
        ('memory (MiB)', PROGRESS): lambda log: log.points(lambda r: r.get('memory')),
    }
    by_epoch = all(log.by_epoch for log in logs)
    for (title, part), points in values.items():
        unit = 'epoch' if part == METRICS and by_epoch else 'iteration'
        curves = [Curve(log.name, run, points(log)) for run, log in enumerate(logs)]
        lines.append(Chart(title, part, unit, [curve for curve in curves if curve.points]))
    missing = [chart.title for chart in lines if not chart.curves and chart.title != OPTIONAL]
    return [chart for chart in lines if chart.curves], missing + ([] if metrics else ['metrics'])


def _loss_chart(key: str, logs: Sequence[TrainingLog]) -> Chart:
    curves = []
    for run, log in enumerate(logs):
        curves.append(Curve(log.name, run, log.points(lambda record: record.get(key))))
        curves.append(Curve(f'{log.name}, validation', run, log.validation_loss(key), True))
    return Chart(key, LOSSES, 'iteration', [curve for curve in curves if curve.points])


def draw(logs: Sequence[TrainingLog], metrics: Sequence[str], out: Path) -> list[str]:
    """Write a PNG with a panel for each quantity in any log; returns the quantities in none."""
    shown, missing = charts(logs, metrics)
    rows = row_lengths(len(shown))
    figure = Figure(figsize=(4.4 * max(rows), 3.2 * len(rows) + 0.3), layout='constrained')
    grid = figure.add_gridspec(len(rows), WIDTH)
    places = (
        grid[row, WIDTH // length * column : WIDTH // length * (column + 1)]
        for row, length in enumerate(rows)
        for column in range(length)
    )
    named: dict[str, Line2D] = {}
    for chart, place in zip(shown, places):
        axes = figure.add_subplot(place)
        _panel(axes, chart)
        named.update({line.get_label(): line for line in axes.get_lines()})
    if len(named) > 1:
        columns = min(len(named), 2 * max(rows))
        where = dict(loc='outside lower center', ncols=columns, frameon=False)
        figure.legend(list(named.values()), list(named), **where)
    FigureCanvasAgg(figure).print_png(out)
    return missing


def row_lengths(count: int) -> list[int]:
    """Panels in each row, at most 4, so that no row has a gap when it is as wide as the others."""
    columns = 3 if count <= 9 else 4
    rows = -(-count // columns)
    return [count // rows + (row < count % rows) for row in range(rows)]


def _speed(record: dict[str, float]) -> float | None:
    return 1 / record['time'] if record.get('time') else None


def _panel(axes: Axes, chart: Chart) -> None:
    for name, run, points, is_validation in chart.curves:
        marker = '' if len(points) > 30 else 'o'
        dashes = '--' if is_validation else '-'
        x, y = zip(*points)
        axes.plot(x, y, dashes, marker=marker, ms=3, lw=1.3, color=f'C{run % 10}', label=name)
    axes.set_title(chart.title, fontsize=10)
    axes.set_xlabel(chart.unit)
    axes.set_xlim(0, None)
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)


def summary(log: TrainingLog, metrics: Sequence[str]) -> str:
    """A line with the last loss, the median speed, and the last and highest of each metric."""
    last = max(log.training)
    parts = [f'{log.name}: iteration {last}, loss {log.training[last]["loss"]:.4g}']
    speeds = sorted(y for _, y in log.points(_speed))
    if speeds:
        parts.append(f'{speeds[len(speeds) // 2]:.3g} iterations per second')
    for key in metrics:
        points = log.metric(key)
        if points:
            best = max(points, key=lambda point: point[1])
            unit = 'epoch' if log.by_epoch else 'iteration'
            parts.append(f'{key} {points[-1][1]:.4g} (highest {best[1]:.4g} at {unit} {best[0]:g})')
    return ', '.join(parts)
