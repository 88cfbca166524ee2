"""Numbers of a dataset: objects per class and size, and image sizes, as tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from ...tables import text_table
from .found import Sample
from .label_maps import read_codes

SMALL, MEDIUM = 32**2, 96**2  # pixels; COCO's limits of areas
Splits = dict[str, list[Sample]]


def tables(
    splits: Splits, classes: list[str], target: str, masks: dict[str, list] | None = None
) -> str:
    """The tables that suit a target, see `found.TARGETS`.

    Args:
        masks: Of maps, the written maps of each split.
    """
    if target in ('boxes', 'masks'):
        parts = [_objects(splits, classes), _image_sizes(splits)]
    elif target == 'maps':
        parts = [_pixels(masks or {}, classes), _image_sizes(splits)]
    else:
        parts = [_labels(splits, classes)]
        parts += [_image_sizes(splits)] if target == 'images' else []
    return '\n\n'.join(parts)


def box_areas(samples: list[Sample]) -> np.ndarray:
    """(objects,) areas of all boxes in pixels."""
    boxes = [o.box for sample in samples for o in sample.objects if o.box]
    return np.array([w * h for _, _, w, h in boxes])


def object_counts(samples: list[Sample]) -> Counter:
    return Counter(o.label for sample in samples for o in sample.objects)


def _objects(splits: Splits, classes: list[str]) -> str:
    counts = {split: object_counts(samples) for split, samples in splits.items()}
    every = [sample for samples in splits.values() for sample in samples]
    areas: dict[str, list[float]] = defaultdict(list)
    images: Counter[str] = Counter()
    for sample in every:
        for o in sample.objects:
            areas[o.label].append(o.box[2] * o.box[3] if o.box else 0)
        images.update({o.label for o in sample.objects})
    rows = []
    for name in classes:
        area = np.array(areas[name])
        sizes = [(area < SMALL).sum(), ((area >= SMALL) & (area < MEDIUM)).sum()]
        rows.append(
            (
                name,
                *(c[name] for c in counts.values()),
                images[name],
                *sizes,
                (area >= MEDIUM).sum(),
            )
        )
    total = np.array([row[1:] for row in rows]).reshape(len(rows), -1).sum(0).tolist()
    total[len(counts)] = sum(bool(sample.objects) for sample in every)
    header = ['class', *counts, 'images', 'small', 'medium', 'large']
    return text_table([*rows, ('all', *total)], header)


def _labels(splits: Splits, classes: list[str]) -> str:
    counts = {s: Counter(sample.label for sample in samples) for s, samples in splits.items()}
    rows = [(name, *(c[name] for c in counts.values())) for name in classes]
    rows.append(('all', *(sum(c.values()) for c in counts.values())))
    return text_table(rows, ['class', *counts])


def _pixels(masks: dict[str, list], classes: list[str]) -> str:
    header, columns = ['class'], []
    for split, paths in masks.items():
        pixels, images = pixel_counts(paths, len(classes))
        share = 100 * pixels / max(1, pixels.sum())
        columns += [[f'{s:.2f}' for s in share], images.tolist()]
        header += [f'{split} pixels (%)', f'{split} images']
    return text_table(zip(classes, *columns), header)


def pixel_counts(paths: list, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of each class in all maps, and maps that have the class; 255 is left out."""
    pixels, images = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for path in paths:
        found = np.bincount(read_codes(path)[0].ravel(), minlength=256)[:classes]
        pixels += found
        images += found > 0
    return pixels, images


def ids_in(path: Path) -> list[int]:
    """The codes that occur in a label map."""
    return np.unique(read_codes(path)[0]).tolist()


def _image_sizes(splits: Splits) -> str:
    rows = []
    for split, samples in splits.items():
        sizes = np.array([sample.loaded for sample in samples]).reshape(-1, 2)
        if len(sizes):
            low, middle, high = sizes.min(0), np.median(sizes, 0).astype(int), sizes.max(0)
            shown = [f'{w} x {h}' for w, h in (low, middle, high)]
            rows.append((split, len(sizes), *shown, len(np.unique(sizes, axis=0))))
    return text_table(rows, ['images', 'number', 'smallest', 'median', 'largest', 'sizes'])
