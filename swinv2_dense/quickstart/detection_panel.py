"""Pictures of a training on a COCO dataset: predictions next to ground truth, and curves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from pycocotools import mask as mask_api

from ..training.curves import read_log

CURVES = {'coco/bbox_mAP_50': 'box AP50', 'coco/segm_mAP_50': 'mask AP50'}


class Drawn(NamedTuple):
    """One object to draw: class name, (H, W) bool mask, box, and the score of a prediction."""

    name: str
    mask: np.ndarray
    box: tuple[float, float, float, float]  # x, y, width, height in pixels
    score: float | None = None


def _drawn(record: dict[str, Any], names: dict[int, str]) -> Drawn:
    """A COCO annotation or result whose mask is RLE."""
    mask = mask_api.decode(record['segmentation']).astype(bool)
    return Drawn(names[record['category_id']], mask, tuple(record['bbox']), record.get('score'))


def _surest(records: list[dict[str, Any]], image_id: int) -> list[dict[str, Any]]:
    """Records of an image; of results with a mask IoU above 0.6, the one with the highest score.

    NMS works within a class, so that objects detected as two classes would be drawn twice.
    """
    kept: list[dict[str, Any]] = []
    for record in sorted(records, key=lambda r: -r.get('score', 1.0)):
        if record['image_id'] != image_id:
            continue
        masks = [r['segmentation'] for r in kept if 'score' in r]
        if not masks or mask_api.iou([record['segmentation']], masks, [0] * len(masks)).max() < 0.6:
            kept.append(record)
    return kept


def _draw(axes: Axes, image: np.ndarray, objects: Iterable[Drawn], colors: dict[str, Any]) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, interpolation='nearest')
    for item in objects:
        color = colors[item.name]
        layer = np.zeros((height, width, 4))
        layer[item.mask] = (*color, 0.3)
        axes.imshow(layer, interpolation='nearest')
        axes.contour(item.mask, levels=[0.5], colors=[color], linewidths=1.2)
        x, y, w, h = item.box
        # Boxes are in pixel edges, imshow in pixel centers.
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, fill=False, ec=color, lw=1.6))
        near_right = x > 0.65 * width  # a label that starts at the box would be cut off
        score = '' if item.score is None else f' {item.score:.2f}'
        axes.text(
            x + w if near_right else max(x, 0),
            max(y - 1.5, 6),
            item.name + score,
            ha='right' if near_right else 'left',
            fontsize=7.5,
            color='white',
            va='bottom',
            clip_on=True,
            bbox=dict(facecolor=color, edgecolor='none', pad=1.2, alpha=0.9),
        )
    axes.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def draw_panel(
    annotations: Path,
    images: Path,
    results: Path,
    out: Path,
    count: int = 8,
    min_score: float = 0.3,
) -> None:
    """Write a PNG with the first `count` images of a COCO file: ground truth left, results right.

    `results` is a file in COCO's result format with masks. The first images are shown, not the
    best.
    """
    coco = json.loads(annotations.read_text())
    names = {c['id']: c['name'] for c in coco['categories']}
    colors = dict(zip(names.values(), colormaps['Dark2'].colors))
    shown = [r for r in json.loads(results.read_text()) if r['score'] >= min_score]
    chosen = coco['images'][:count]
    pairs = 2  # per row
    rows = -(-len(chosen) // pairs)
    figure = Figure(figsize=(11.2, 2.9 * rows + 0.5), layout='constrained')
    grid = figure.subplots(rows, 2 * pairs, squeeze=False).flat
    for axes in grid:
        axes.set_axis_off()
    for k, record in enumerate(chosen):
        image = imread(images / record['file_name'])
        for axes, source, title in [
            (grid[2 * k], coco['annotations'], 'ground truth'),
            (grid[2 * k + 1], shown, 'prediction'),
        ]:
            found = [_drawn(r, names) for r in _surest(source, record['id'])]
            axes.set_axis_on()
            axes.set_title(f'{record["file_name"]}: {title}', fontsize=9)
            _draw(axes, image, found, colors)
    figure.suptitle(
        f'Unseen images; predictions with a score of {min_score} or more',
        fontsize=11,
    )
    FigureCanvasAgg(figure).print_png(out)


def draw_curves(
    path: Path,
    out: Path,
    target: float | None = None,
    curves: Mapping[str, str] = CURVES,
    title: str = 'AP50 on unseen images',
    unit: float = 1.0,
) -> None:
    """Write a PNG with the training loss and the metrics in mmengine's `scalars.json`.

    `curves` maps keys of the log to their names in the legend. `unit` is the value of a perfect
    result: 1, or 100 for percent.
    """
    log = read_log(path)
    figure = Figure(figsize=(9.5, 3.6), layout='constrained')
    left, right = figure.subplots(1, 2)
    left.plot(*zip(*log.points(lambda record: record.get('loss'))), color='C3', lw=1.5)
    left.set(title='training loss', xlabel='iteration', ylim=(0, None))
    for key, label in curves.items():
        points = [(step, value / unit) for step, value in log.metric(key)]
        right.plot(*zip(*points), marker='o', ms=4, lw=1.5, label=label)
    if target is not None:
        right.axhline(target, color='0.5', ls='--', lw=1, label=f'target {target:.2f}')
    right.set(title=title, xlabel='iteration', ylim=(0, 1))
    right.legend(loc='best', frameon=False)
    for axes in (left, right):
        axes.set_xlim(0, None)
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    FigureCanvasAgg(figure).print_png(out)
