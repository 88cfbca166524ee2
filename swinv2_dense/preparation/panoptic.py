"""Check COCO's panoptic annotations and their PNGs."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError
from .images import MISSING, File, FileError, check_files, warn_of_others
from .panoptic_files import PanopticImage, check_png, read_panoptic
from .report import ReportRow


def check_panoptic(root: Path, split: str, workers: int) -> list[ReportRow]:
    """Compare `annotations/panoptic_SPLIT.json` with every PNG in the folder of that name.

    COCO's archive has the PNGs of a split in another archive, which must be unpacked, too.
    """
    listed = ReportRow(f'annotations/panoptic_{split}.json', 'annotations')
    maps = ReportRow(f'annotations/panoptic_{split}', 'maps')
    try:
        images, _ = read_panoptic(root / listed.name)
    except ConfigError as error:
        listed.fault(str(error), listed.name)
        maps.note = 'not checked: annotations are missing'
        return [listed, maps]
    listed.found = len(images)
    archive = root / f'{maps.name}.zip'
    if archive.is_file() and not (root / maps.name).is_dir():
        maps.fault('not unpacked', f'unzip {archive} -d {archive.parent}')
        return [listed, maps]
    by_name = {image.png: image for image in images}
    files = [File(image.png, image.width, image.height) for image in images]
    check_files(maps, root / maps.name, files, _Check(by_name), workers)
    if (root / maps.name).is_dir():
        warn_of_others(maps, root / maps.name, set(by_name))
    return [listed, maps]


class _Check:
    """Raises a FileError unless a PNG has the ids of its annotation."""

    def __init__(self, by_name: dict[str, PanopticImage]) -> None:
        self.by_name = by_name

    def __call__(self, path: Path, file: File) -> None:
        fault = check_png(path.parent, self.by_name[file.name], decode=True)
        if fault == 'missing':
            raise FileError(MISSING)
        if fault:
            kind, _, detail = fault.partition(': ')
            raise FileError(kind, detail)
