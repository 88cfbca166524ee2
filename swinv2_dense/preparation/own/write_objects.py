"""Write COCO JSON: annotations/SPLIT.json for the images in SPLIT/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...checks.coco_file import mask_area
from .found import Found, Object, Sample
from .placing import Placer, names_in
from .rle import box_rle


def write(
    found: Found, splits: dict[str, list[Sample]], root: Path, folder: Path, masks: bool
) -> str:
    """Write all splits below `folder`; returns how images were placed.

    Args:
        root: The folder that is prepared.
        masks: Whether to write masks; objects without one become regions to ignore.
    """
    placer = Placer()
    (folder / 'annotations').mkdir(parents=True)
    categories = [dict(id=i, name=name) for i, name in enumerate(found.classes, start=1)]
    ids = {name: i for i, name in enumerate(found.classes, start=1)}
    for split, samples in splits.items():
        images, annotations = [], []
        for number, (sample, name) in enumerate(zip(samples, names_in(samples, root)), start=1):
            placer.place(sample, folder / split / name)
            width, height = sample.loaded
            images.append(dict(id=number, file_name=name, width=width, height=height))
            for entry in sample.objects:
                record = dict(
                    id=len(annotations) + 1, image_id=number, category_id=ids[entry.label]
                )
                annotations.append(record | _annotation(entry, sample, masks))
        content = dict(images=images, categories=categories, annotations=annotations)
        (folder / 'annotations' / f'{split}.json').write_text(json.dumps(content), 'utf-8')
    return str(placer)


def _annotation(entry: Object, sample: Sample, masks: bool) -> dict[str, Any]:
    x, y, w, h = (round(side, 3) for side in entry.box or (0, 0, 0, 0))
    record: dict[str, Any] = dict(bbox=[x, y, w, h], area=w * h, iscrowd=int(entry.is_crowd))
    if masks and entry.has_mask:
        mask = entry.rle or [[round(c, 3) for c in polygon] for polygon in entry.polygons or ()]
        record.update(segmentation=mask, area=mask_area(mask))
    elif masks:
        record.update(segmentation=box_rle(entry.box or (0, 0, 1, 1), sample.loaded), iscrowd=1)
    return record
