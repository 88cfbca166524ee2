"""Pictures of recognized clips: frames with ground truth and prediction, and confusion matrices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .motions import list_file, read_video, video_folder


def read_predictions(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) and scores (N, classes) of a dataset's clips, as `PairMetric` wrote them."""
    found = json.loads(file.read_text())
    return np.array(found['labels']), np.array(found['scores'])


def draw_clips(
    root: Path, scores: np.ndarray, classes: Sequence[str], out: Path, count: int = 8
) -> None:
    """Write a PNG with `count` frames of the first validation clip of every class, one per row.

    `scores` (N, classes) are those of the clips in the order of their list file. The first clips
    are shown, not the best.
    """
    clips = [line.split() for line in list_file(root, 'val').read_text().splitlines()]
    labels = [int(label) for _, label in clips]
    chosen = [labels.index(k) for k in range(len(classes)) if k in labels]
    figure = Figure(figsize=(11.2, 1.16 * len(chosen) + 0.5), layout='constrained')
    for axes, index in zip(figure.subplots(len(chosen), 1, squeeze=False).flat, chosen):
        axes.imshow(_strip(read_video(video_folder(root, 'val') / clips[index][0]), count))
        axes.set(xticks=[], yticks=[], anchor='E')
        axes.spines[:].set_visible(False)
        truth, found = labels[index], int(scores[index].argmax())
        axes.set_ylabel(
            f'{classes[truth]}\n{classes[found]} {scores[index, found]:.2f}',
            rotation=0,
            ha='right',
            va='center',
            fontsize=9,
            color='black' if found == truth else 'C3',
        )
    figure.suptitle('Unseen clips; ground truth, and prediction below', fontsize=11)
    FigureCanvasAgg(figure).print_png(out)


def _strip(frames: np.ndarray, count: int) -> np.ndarray:
    """(H, W', 3): `count` of the frames (T, H, W, 3), evenly spaced, with white between them."""
    times = np.linspace(0, len(frames) - 1, count).round().astype(int)
    framed = np.pad(frames[times], [(0, 0), (0, 0), (0, 4), (0, 0)], constant_values=255)
    return np.hstack(list(framed))[:, :-4]


def draw_confusion(
    panels: dict[str, tuple[np.ndarray, np.ndarray]], classes: Sequence[str], out: Path
) -> None:
    """Write a PNG with a confusion matrix for each of `panels` (labels and scores by title)."""
    figure = Figure(figsize=(4.6 * len(panels), 4.9), layout='constrained')
    for axes, (title, (labels, scores)) in zip(figure.subplots(1, len(panels)), panels.items()):
        counts = np.zeros((len(classes), len(classes)), int)
        np.add.at(counts, (labels, scores.argmax(axis=1)), 1)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = 'white' if shares[row, column] > 0.5 else 'black'
                axes.text(column, row, count, ha='center', va='center', fontsize=8, color=color)
        axes.set_title(title, fontsize=11)
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha='right', fontsize=8)
        axes.set_yticks(range(len(classes)), classes, fontsize=8)
        axes.set(
            xlabel='prediction', ylabel='truth' if axes.get_subplotspec().is_first_col() else ''
        )
    FigureCanvasAgg(figure).print_png(out)
