"""Objects365 v2 for mmdet's Objects365V2Dataset."""

from __future__ import annotations

from pathlib import Path

from .annotations import check_categories, read_annotations
from .images import File, check_files, check_image, warn_of_others
from .report import ReportRow

# The patches of train and val have the same names, and val is downloaded from two folders.
ARCHIVES = {
    '**/zhiyuan_objv2_train.tar.gz': 'annotations',
    '**/zhiyuan_objv2_val.json': 'annotations',
    'train/**/patch*.tar.gz': 'train',
    'val/**/patch*.tar.gz': 'val',
}


def check(root: Path, workers: int) -> list[ReportRow]:
    """Check train and val."""
    parts = []
    for split in ('train', 'val'):
        parts += _check_split(root, split, workers)
    return parts


def _check_split(root: Path, split: str, workers: int) -> list[ReportRow]:
    from mmdet.datasets import Objects365V2Dataset
    from mmdet.datasets.objects365 import objv2_ignore_list

    listed = ReportRow(f'annotations/zhiyuan_objv2_{split}.json', 'annotations')
    images = ReportRow(split, 'images')
    content = read_annotations(root / listed.name, listed)
    if content is None:
        images.note = 'not checked: annotations are missing'
        return [listed, images]
    names = Objects365V2Dataset.METAINFO['classes']
    check_categories(listed, content.categories, range(1, len(names) + 1), names)
    # images/v1/patch8/x.jpg is patch8/x.jpg; mmdet lists three that do not exist.
    files = [File('/'.join(i.file_name.split('/')[-2:]), *i[2:]) for i in content.images]
    files = [file for file in files if file.name not in objv2_ignore_list]
    check_files(images, root / split, files, check_image, workers)
    warn_of_others(images, root / split, {file.name for file in files})
    return [listed, images]
