"""Write images/SPLIT/x.jpg, masks/SPLIT/x.png and classes.txt."""

from __future__ import annotations

import posixpath
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import ConfigError
from .found import Found, Object, Sample
from .label_maps import IGNORED, read_codes
from .placing import Placer, names_in
from .rle import box_rle


def write(found: Found, splits: dict[str, list[Sample]], root: Path, folder: Path) -> str:
    """Write all splits below `folder`; returns how files were placed.

    PNG maps that already hold the right ids are linked, others are converted.

    Raises:
        ConfigError: Two images would share a map, or polygons cannot be drawn.
    """
    placer = Placer()
    classes = found.classes if found.ids else ['background', *found.classes]
    table = _table(found)
    written = 0
    for split, samples in splits.items():
        stems: dict[str, Path] = {}
        for sample, name in zip(samples, names_in(samples, root)):
            stem = posixpath.splitext(name)[0]
            if stems.setdefault(stem, sample.path) != sample.path:
                raise ConfigError(
                    f'{stems[stem]} and {sample.path} would share the map {stem}.png; rename one'
                )
            placer.place(sample, folder / 'images' / split / name)
            target = folder / 'masks' / split / f'{stem}.png'
            if sample.label_map and _is_ready(sample.label_map, found):
                placer.place_file(sample.label_map, target)
                continue
            if sample.label_map:
                ids = _convert(read_codes(sample.label_map)[0], table)
            else:
                ids = draw(sample, found.classes)
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ids).save(target)
            written += 1
    (folder / 'classes.txt').write_text('\n'.join(classes) + '\n', 'utf-8')
    return f'{placer}' + (f', {written} maps written' if written else '')


def draw(sample: Sample, classes: list[str]) -> np.ndarray:
    """Ids (H, W) uint8 of the objects of an image: background 0, classes from 1.

    Small objects cover large ones. Regions to ignore and objects without a mask become 255.

    Raises:
        ConfigError: pycocotools is missing, or there are too many classes.
    """
    try:
        from pycocotools import mask as coco_masks
    except ImportError as error:
        raise ConfigError('drawing polygons needs pycocotools: pip install pycocotools') from error
    if len(classes) >= IGNORED:
        raise ConfigError(f'{len(classes)} classes do not fit into a label map, which holds 254')
    width, height = sample.loaded
    ids = np.zeros((height, width), np.uint8)

    def pixels(entry: Object) -> np.ndarray:
        mask = entry.rle or entry.polygons or box_rle(entry.box or (0, 0, 1, 1), sample.loaded)
        if isinstance(mask, list):
            mask = coco_masks.merge(coco_masks.frPyObjects(mask, height, width))
        elif isinstance(mask['counts'], list):
            mask = coco_masks.frPyObjects(mask, height, width)
        return coco_masks.decode(mask).astype(bool)

    drawn = [(pixels(entry), entry) for entry in sample.objects]
    for mask, entry in sorted(drawn, key=lambda pair: -pair[0].sum()):
        is_known = entry.has_mask and not entry.is_crowd
        ids[mask] = classes.index(entry.label) + 1 if is_known else IGNORED
    return ids


def _table(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Sorted codes, and the id of each."""
    codes = np.array(sorted(found.ids), np.int64)
    return codes, np.array([found.ids[code] for code in codes], np.uint8)


def _convert(codes: np.ndarray, table: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    known, ids = table
    return ids[np.searchsorted(known, codes)]


def _is_ready(path: Path, found: Found) -> bool:
    """Whether mmseg reads the right ids from the file as it is."""
    if found.is_painted or any(code != index for code, index in found.ids.items()):
        return False
    with Image.open(path) as file:
        return file.format == 'PNG' and file.mode in ('L', 'P')
