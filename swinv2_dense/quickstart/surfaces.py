"""A small generated dataset for semantic segmentation: regions of patterned surfaces.

A picture is divided into a few regions with curved borders. Each class has a range of hues and a
pattern; angle, period, shade and position are independent of the class. (Outlines, the classes of
`shapes`, are not visible in the neighborhood of a pixel; a small model needs far more than minutes
to label pixels by them.)

Lengths and positions are in pixels, x to the right and y down; colors are BGR, as in OpenCV.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .folders import check_parameters, is_filled, write_whole
from .goals import SurfacesSpec

CLASSES = (
    *('red stripes', 'yellow dots', 'green checks'),
    *('cyan stripes', 'blue dots', 'magenta checks'),
)
PALETTE = (  # RGB, for pictures of label maps
    *((215, 55, 45), (240, 200, 60), (50, 160, 70)),
    *((80, 200, 215), (45, 80, 200), (200, 60, 180)),
)
HUES = dict(red=0, yellow=55, green=115, cyan=180, blue=235, magenta=300)  # degrees
HUE_SPREAD = 20.0  # degrees in both directions
SPLITS = ('train', 'val')
VERSION = 1  # of the files, one of a dataset's parameters: increase it when the files change
FOLDERS = {'images': 'images', 'masks': 'label maps'}
SPEC_FILE = 'spec.json'

PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    'stripes': lambda u, v: 0.5 + 0.5 * np.sin(2 * math.pi * u),
    'checks': lambda u, v: (np.floor(u) + np.floor(v)) % 2,
    'dots': lambda u, v: ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.1).astype(float),
}


def label_map(rng: np.random.Generator, size: int) -> np.ndarray:
    """(H, W) uint8, an index into CLASSES per pixel: three to six regions with curved borders.

    A pixel belongs to the nearest of some random points, after a distortion by slow waves.
    """
    count = rng.integers(3, 7)
    points = rng.uniform(0, size, (count, 2))
    categories = rng.permutation(len(CLASSES))[:count].astype(np.uint8)
    y, x = np.mgrid[:size, :size].astype(float)
    period, (a, b) = size / rng.uniform(1, 2), rng.uniform(0, 2 * math.pi, 2)
    wave = size / 16
    dx = x + wave * np.sin(2 * math.pi * y / period + a)
    dy = y + wave * np.sin(2 * math.pi * x / period + b)
    distances = [(dx - px) ** 2 + (dy - py) ** 2 for px, py in points]
    return categories[np.argmin(distances, axis=0)]


def _surface(rng: np.random.Generator, category: int, size: int) -> np.ndarray:
    """(H, W, 3) float64: a surface of a class that fills the picture."""
    hue_name, pattern = CLASSES[category].split()
    hue = (HUES[hue_name] + rng.uniform(-HUE_SPREAD, HUE_SPREAD)) % 360
    saturation, value = rng.uniform(0.45, 0.95), rng.uniform(0.55, 0.95)
    pair = np.array([[(hue, saturation, value), (hue, saturation, value * rng.uniform(0.35, 0.6))]])
    light, dark = 255 * cv2.cvtColor(pair.astype(np.float32), cv2.COLOR_HSV2BGR)[0]
    angle, period = rng.uniform(0, math.pi), rng.uniform(7, 14)
    y, x = (np.mgrid[:size, :size] + rng.uniform(0, size, (2, 1, 1))) / period
    u, v = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
    weight = PATTERNS[pattern](u, v)
    if rng.random() < 0.5:
        light, dark = dark, light
    return dark + weight[..., None] * (light - dark)


def draw(spec: SurfacesSpec, split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The (H, W, 3) uint8 image and the (H, W) uint8 label map at an index of a dataset."""
    rng = np.random.default_rng([spec.seed, SPLITS.index(split), index])
    labels = label_map(rng, spec.size)
    image = np.zeros((spec.size, spec.size, 3))
    for category in np.unique(labels):
        here = labels == category
        image[here] = _surface(rng, category, spec.size)[here]
    y, x = np.mgrid[: spec.size, : spec.size] / spec.size - 0.5
    ramp = rng.uniform(-0.25, 0.25, (2, 1, 1)) * np.stack([x, y])
    image = image * (1 + ramp.sum(axis=0)[..., None]) + rng.normal(0, 4, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), labels


def _info(spec: SurfacesSpec) -> dict[str, Any]:
    return dict(description='patterned surfaces', version=VERSION, **asdict(spec))


def _write_split(root: Path, spec: SurfacesSpec, split: str) -> None:
    for folder in FOLDERS:
        (root / folder / split).mkdir(parents=True)
    for index in range(getattr(spec, split)):
        for folder, pixels in zip(FOLDERS, draw(spec, split, index)):
            file = root / folder / split / f'{index:06d}.png'
            if not cv2.imwrite(str(file), pixels):
                raise OSError(f'{file}: OpenCV could not write this image')


def check_dataset(root: Path, spec: SurfacesSpec) -> None:
    """Raise ValueError unless `root` holds the complete dataset of `spec`."""
    remedy = f'Delete {root} to generate it again, or choose another folder.'
    file = root / SPEC_FILE
    if not file.is_file():
        raise ValueError(f'{root}: not a surfaces dataset, {file} is missing. {remedy}')
    wanted = _info(spec)
    check_parameters(file, json.loads(file.read_text()), wanted, remedy)
    for split in SPLITS:
        for folder, kind in FOLDERS.items():
            count = len(list((root / folder / split).glob('*.png')))
            if count != wanted[split]:
                raise ValueError(
                    f'{root / folder / split}: {count} of {wanted[split]} {kind}. {remedy}'
                )


def write_dataset(root: Path | str, spec: SurfacesSpec | None = None) -> bool:
    """Write the dataset of `spec` to `root`; False if it exists already.

    images/{train,val}, masks/{train,val} (PNG, one channel of class ids) and classes.txt: the
    layout of your own dataset (docs/own_data.md).
    """
    root, spec = Path(root), spec or SurfacesSpec()
    if is_filled(root):
        check_dataset(root, spec)
        return False

    def write(draft: Path) -> None:
        for split in SPLITS:
            _write_split(draft, spec, split)
        (draft / 'classes.txt').write_text('\n'.join(CLASSES) + '\n')
        (draft / SPEC_FILE).write_text(json.dumps(_info(spec)))

    write_whole(root, write)
    return True
