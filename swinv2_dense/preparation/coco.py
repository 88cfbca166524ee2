"""COCO 2017 from cocodataset.org, with the stuff maps of COCO-Stuff."""

from __future__ import annotations

from pathlib import Path

from .annotations import Annotations, check_categories, read_annotations
from .images import File, LabelMapCheck, check_files, check_image, warn_of_others
from .panoptic import check_panoptic
from .report import ReportRow

ARCHIVES = {
    'train2017.zip': '',
    'val2017.zip': '',
    'test2017.zip': '',
    'annotations_trainval2017.zip': '',
    'image_info_test2017.zip': '',
    'stuffthingmaps_trainval2017.zip': 'stuffthingmaps',
    'panoptic_annotations_trainval2017.zip': '',
}
# Ten of the original 90 ids have no instances.
CATEGORY_IDS = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
STUFF_LABELS = [*range(182), 255]  # id - 1, and unlabelled or crowd


def check(root: Path, workers: int) -> list[ReportRow]:
    """Check train2017 and val2017, and panoptic maps and test-dev2017 if they exist."""
    parts = []
    for split in ('train2017', 'val2017'):
        parts += _check_split(root, split, workers)
        if (root / f'annotations/panoptic_{split}.json').exists():
            parts += check_panoptic(root, split, workers)
    if (root / 'test2017').is_dir():
        parts += _check_test(root, workers)
    return parts


def _check_split(root: Path, split: str, workers: int) -> list[ReportRow]:
    listed = ReportRow(f'annotations/instances_{split}.json', 'annotations')
    images = ReportRow(split, 'images')
    maps = ReportRow(f'stuffthingmaps/{split}', 'maps')
    content = read_annotations(root / listed.name, listed, with_masks=True)
    if content is None:
        images.note = maps.note = 'not checked: annotations are missing'
        return [listed, images, maps]
    _check_coco_categories(listed, content)
    files = [File(*image[1:]) for image in content.images]
    check_files(images, root / split, files, check_image, workers)
    warn_of_others(images, root / split, {file.name for file in files})
    if not (root / maps.name).is_dir():
        maps.note = 'none; only detectors with a semantic branch need them'
        return [listed, images, maps]
    pngs = [file._replace(name=file.name.rsplit('.', 1)[0] + '.png') for file in files]
    check_files(maps, root / maps.name, pngs, LabelMapCheck(STUFF_LABELS), workers)
    warn_of_others(maps, root / maps.name, {file.name for file in pngs})
    return [listed, images, maps]


def _check_test(root: Path, workers: int) -> list[ReportRow]:
    """Check test-dev2017; test2017 also contains images of other test sets."""
    listed = ReportRow('annotations/image_info_test-dev2017.json', 'images')
    images = ReportRow('test2017', 'images')
    content = read_annotations(root / listed.name, listed, with_boxes=False)
    if content is None:
        images.note = 'not checked: image_info_test-dev2017.json is missing'
        return [listed, images]
    _check_coco_categories(listed, content)
    files = [File(*image[1:]) for image in content.images]
    check_files(images, root / images.name, files, check_image, workers)
    return [listed, images]


def _check_coco_categories(part: ReportRow, content: Annotations) -> None:
    from mmdet.datasets import CocoDataset

    check_categories(part, content.categories, CATEGORY_IDS, CocoDataset.METAINFO['classes'])
