"""Results of the seeds of a claim: a file that grows by seed, a table and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..atomic_files import write_bytes
from ..errors import ConfigError
from .training import spread

Row = dict[str, Any]


class Results:
    """Rows by seed in a JSON file, written whole after each seed."""

    def __init__(self, path: Path, steps: int, seeds: dict[str, list[Row]]) -> None:
        self.path, self.steps, self.seeds = path, steps, seeds

    @classmethod
    def read(cls, path: Path, steps: int) -> Results:
        """The results in a file, if there is one.

        Raises:
            ConfigError: It holds something else, or runs of another number of steps.
        """
        if not path.exists():
            return cls(path, steps, {})
        try:
            content = json.loads(path.read_text())
            found, seeds = content['steps'], dict(content['seeds'])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f'{path} is not a file of results: remove it') from error
        if found != steps:
            raise ConfigError(
                f'{path} holds runs of {found} steps, not {steps}: choose another --out, or '
                f'--steps {found}'
            )
        return cls(path, steps, seeds)

    def has(self, seed: int) -> bool:
        """Whether a seed has been run."""
        return str(seed) in self.seeds

    def add(self, seed: int, rows: list[Row]) -> None:
        """Keep the rows of a seed, also if the next one is interrupted."""
        self.seeds[str(seed)] = rows
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = dict(steps=self.steps, seeds=self.seeds)
        write_bytes(self.path, json.dumps(content, indent=1).encode())

    def rows(self, seeds: int) -> list[Row]:
        """All rows of the first seeds."""
        return [row for seed in range(seeds) for row in self.seeds[str(seed)]]


def grouped(keys: Sequence[str], rows: Sequence[Row]) -> dict[tuple, list[Row]]:
    """Rows of the same setting, which differ in their seeds."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def table(claim: ModuleType, rows: Sequence[Row]) -> str:
    """Markdown: the median over seeds, and in brackets the smallest and the largest value."""
    header = [*claim.KEYS, *claim.VALUES]
    lines = [f'| {" | ".join(header)} |', '|' + '---|' * len(header)]
    for setting, found in grouped(claim.KEYS, rows).items():
        cells = [str(value) for value in setting]
        for name in claim.VALUES:
            values = [row[name] for row in found if name in row]
            cells.append(_with_spread(values) if values else '')
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def _with_spread(values: Sequence[float]) -> str:
    low, median, high = spread(values)
    return f'{median:.3g} [{low:.3g}, {high:.3g}]' if len(values) > 1 else f'{median:.3g}'


def plot(claim: ModuleType, rows: Sequence[Row], path: Path) -> None:
    """Curves of medians with bands from the smallest to the largest value, or bars of medians.

    `claim.PLOT` names the keys of rows: `x`, and `y` and `label` for curves, or `bars`; `panel` if
    there are several.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panel_key = claim.PLOT.get('panel')
    panels = list(dict.fromkeys(row.get(panel_key) for row in rows))
    figure = Figure(figsize=(max(7, 3.2 * len(panels)), 4))
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        draw = _bars if 'bars' in claim.PLOT else _curves
        draw(axes, [row for row in rows if row.get(panel_key) == panel], **claim.PLOT)
        axes.set_title(panel or '')
        axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _curves(axes: Any, rows: Sequence[Row], x: str, y: str, label: str, **_: str) -> None:
    for (name,), found in grouped([label], rows).items():
        by_x = grouped([x], found)
        low, median, high = zip(*(spread([row[y] for row in group]) for group in by_x.values()))
        positions = [position for (position,) in by_x]
        axes.plot(positions, median, marker='.', label=name)
        axes.fill_between(positions, low, high, alpha=0.2)
    axes.set(xlabel=x, ylabel=y)


def _bars(axes: Any, rows: Sequence[Row], x: str, bars: Sequence[str], **_: str) -> None:
    groups = grouped([x], rows)
    for i, name in enumerate(bars):
        medians = [spread([row[name] for row in group])[1] for group in groups.values()]
        places = [
            place + (i - (len(bars) - 1) / 2) * 0.8 / len(bars) for place in range(len(groups))
        ]
        axes.barh(places, medians, 0.8 / len(bars), label=name)
    axes.set_yticks(range(len(groups)), [setting for (setting,) in groups])
    axes.invert_yaxis()
