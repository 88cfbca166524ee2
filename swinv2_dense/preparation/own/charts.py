"""One picture of a dataset: how often each class occurs, and the sizes of objects and images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .found import Sample
from .statistics import box_areas

MOST_CLASSES = 30  # with bars
COLORS = dict(train='#4477aa', val='#ee8866', test='#999999')


def draw(
    path: Path,
    counts: Mapping[str, list[int]],
    classes: list[str],
    unit: str,
    splits: dict[str, list[Sample]],
) -> None:
    """Write a PNG file.

    Args:
        path: The file.
        counts: Of each split, how often each class occurs.
        classes: Their names.
        unit: What is counted.
        splits: The samples; objects and image sizes get a panel each if there are any.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    areas = {split: box_areas(samples) for split, samples in splits.items()}
    sizes = {
        s: np.array([x.loaded for x in samples]).reshape(-1, 2) for s, samples in splits.items()
    }
    has_objects = any(len(area) for area in areas.values())
    has_sizes = any(size.any() for size in sizes.values())
    panels = 1 + has_objects + has_sizes
    height = 1.2 + 0.22 * min(len(classes), MOST_CLASSES)
    figure = Figure(figsize=(4.6 * panels, max(3.2, height)), layout='constrained')
    axes = list(figure.subplots(1, panels, squeeze=False).flat)
    _classes(axes[0], counts, classes, unit)
    if has_objects:
        _areas(axes[1], areas)
    if has_sizes:
        _sizes(axes[-1], sizes)
    for panel in axes:
        panel.spines[['top', 'right']].set_visible(False)
    FigureCanvasAgg(figure).print_png(path)


def _classes(axes, counts: Mapping[str, list[int]], classes: list[str], unit: str) -> None:
    totals = np.sum(list(counts.values()), axis=0)
    order = np.argsort(-totals, kind='stable')[:MOST_CLASSES]
    left = np.zeros(len(order))
    for split, numbers in counts.items():
        values = np.asarray(numbers)[order]
        axes.barh(range(len(order)), values, left=left, color=COLORS[split], label=split)
        left += values
    axes.set_yticks(range(len(order)), [_shortened(classes[i]) for i in order], fontsize=8)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8)
    more = len(classes) - len(order)
    axes.set_title(
        f'{unit} per class' + (f' (without the {more} rarest)' if more else ''), fontsize=10
    )


def _areas(axes, areas: Mapping[str, np.ndarray]) -> None:
    lengths = {split: np.sqrt(area) for split, area in areas.items() if len(area)}
    largest = max(length.max() for length in lengths.values())
    edges = np.geomspace(1, max(2, largest), 25)
    axes.hist(
        list(lengths.values()), edges, stacked=True, color=[COLORS[s] for s in lengths], rwidth=0.9
    )
    axes.set_xscale('log')
    for limit in (32, 96):
        axes.axvline(limit, color='black', lw=0.8, ls=':')
    axes.set_title('size of objects: square root of the box area', fontsize=10)
    axes.set_xlabel('pixels; dotted: small, medium, large')


def _sizes(axes, sizes: Mapping[str, np.ndarray]) -> None:
    for split, size in sizes.items():
        axes.scatter(*size.T, s=12, alpha=0.4, color=COLORS[split], lw=0, label=split)
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    axes.set_title('image sizes', fontsize=10)
    axes.set_xlabel('width in pixels')
    axes.set_ylabel('height in pixels')


def _shortened(name: str) -> str:
    return name if len(name) <= 20 else f'{name[:19]}…'
