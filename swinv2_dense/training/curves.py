"""Reads mmengine's JSON logs, and draws curves of one or several trainings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import ConfigError

# Keys that are not metrics: times in seconds, memory in MiB, progress.
NO_METRICS = ('lr', 'base_lr', 'data_time', 'time', 'memory', 'step', 'epoch', 'iter', 'grad_norm')
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

    def validation_loss(self) -> Points:
        """(iteration, value) of the validation losses that `--val-loss` logs."""
        ends: dict[float, int] = {}  # last iteration of each epoch
        for step, record in sorted(self.training.items()):
            ends[record.get('epoch', step)] = step
        found = self.metric('val_loss')
        return [(ends.get(step, step) if self.by_epoch else step, loss) for step, loss in found]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order of the log."""
        keys = (key for record in self.evaluations.values() for key in record)
        return [
            key
            for key in dict.fromkeys(keys)
            if key not in NO_METRICS and not key.startswith('val_loss')
        ]


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


def draw(logs: Sequence[TrainingLog], metrics: Sequence[str], out: Path) -> list[str]:
    """Write a PNG with a panel for each quantity in any log; returns the quantities in none."""
    losses = [log.validation_loss() for log in logs]
    validation = {'validation loss': losses} if any(losses) else {}
    curves = {
        'loss': [log.points(lambda r: r.get('loss')) for log in logs],
        **validation,
        'learning rate': [log.points(lambda r: r.get('lr')) for log in logs],
        **{key: [log.metric(key) for log in logs] for key in metrics},
        'iterations per second': [log.points(_speed) for log in logs],
        'memory (MiB)': [log.points(lambda r: r.get('memory')) for log in logs],
    }
    shown = {title: lines for title, lines in curves.items() if any(lines)}
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.2 * rows + 0.3), layout='constrained')
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (title, lines) in zip(grid, shown.items()):
        by_epoch = title in metrics and all(log.by_epoch for log in logs)
        _panel(axes, title, lines, [log.name for log in logs], 'epoch' if by_epoch else 'iteration')
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    if len(logs) > 1:
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside lower center', frameon=False)
    FigureCanvasAgg(figure).print_png(out)
    return [title for title in curves if title not in shown] + ([] if metrics else ['metrics'])


def _speed(record: dict[str, float]) -> float | None:
    return 1 / record['time'] if record.get('time') else None


def _panel(axes: Axes, title: str, lines: list[Points], names: list[str], unit: str) -> None:
    for i, (points, name) in enumerate(zip(lines, names)):
        marker = '' if len(points) > 30 else 'o'
        x, y = zip(*points) if points else ((), ())
        axes.plot(x, y, marker=marker, ms=3, lw=1.3, color=f'C{i % 10}', label=name)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(unit)
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
