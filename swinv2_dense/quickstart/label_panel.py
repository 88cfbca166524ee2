"""A picture of images next to their label maps: ground truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image


def draw_label_panel(
    images: Path,
    masks: Path,
    predictions: Path,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    out: Path,
    count: int = 8,
) -> None:
    """Write a PNG with the first `count` images, each with its label maps as overlays.

    `masks` and `predictions` are folders of PNG files of class ids, named like the images. The
    first images are shown, not the best.
    """
    chosen = sorted(images.glob('*.png'))[:count]
    columns, rows = 6, -(-len(chosen) // 2)
    figure = Figure(figsize=(11.2, 2.05 * rows + 0.9), layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for k, path in enumerate(chosen):
        image = np.asarray(Image.open(path).convert('RGB'))
        truth, found = (np.asarray(Image.open(f / path.name)) for f in (masks, predictions))
        row = grid[k // 2][3 * (k % 2) : 3 * (k % 2) + 3]
        right = (found == truth).mean()
        titles = [path.name, 'ground truth', f'prediction: {right:.1%}']
        shown = [image, *(_overlay(image, labels, palette) for labels in (truth, found))]
        for axes, picture, title in zip(row, shown, titles):
            axes.imshow(picture, interpolation='nearest')
            axes.set_title(title, fontsize=8.5)
    handles = [Patch(color=np.array(c) / 255, label=n) for c, n in zip(palette, classes)]
    figure.legend(handles=handles, loc='outside lower center', ncols=len(classes), frameon=False)
    figure.suptitle('Unseen images; share of correctly labeled pixels', fontsize=11)
    FigureCanvasAgg(figure).print_png(out)


def _overlay(image: np.ndarray, labels: np.ndarray, palette: Sequence) -> np.ndarray:
    """(H, W, 3) uint8: the colors of the classes over the gray image."""
    colors = np.asarray(palette, float)[labels]
    return np.round(0.3 * image.mean(axis=2, keepdims=True) + 0.7 * colors).astype(np.uint8)
