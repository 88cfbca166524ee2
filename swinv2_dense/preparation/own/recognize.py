"""Find out the format of a folder, and say why."""

from __future__ import annotations

import posixpath
from collections import Counter
from types import ModuleType

from ...errors import ConfigError
from . import class_folders, coco, label_maps, labelme, path_table, voc, yolo
from .source import Source

READERS: dict[str, ModuleType] = {
    'coco': coco,
    'yolo': yolo,
    'voc': voc,
    'labelme': labelme,
    'maps': label_maps,
    'table': path_table,
    'folders': class_folders,
}
ARCHIVES = ('.zip', '.tar', '.tgz', '.tar.gz', '.7z', '.rar')
WEAK = 'folders'  # any folder of images has folders; they count if nothing else is found


def recognize(source: Source, given: str | None = None) -> tuple[str, str]:
    """The format, a key of `READERS`, and what it was recognized by.

    Raises:
        ConfigError: No format fits, several do, or the given one does not.
    """
    if not source.names:
        raise ConfigError(f'{source.root} has no files')
    if given:
        reason = READERS[given].evidence(source)
        if not reason:
            raise ConfigError(
                f'--format={given}: {source.root} has no such files; it has {contents(source)}'
            )
        return given, reason
    found = {name: READERS[name].evidence(source) for name in READERS if name != WEAK}
    found = {name: reason for name, reason in found.items() if reason}
    if len(found) > 1:
        reasons = '; '.join(f'{name}: {reason}' for name, reason in found.items())
        raise ConfigError(
            f'{source.root} looks like several formats ({reasons}); choose one with --format '
            f'{"|".join(found)}'
        )
    if not found and (reason := READERS[WEAK].evidence(source)):
        found = {WEAK: reason}
    if not found:
        _refuse_cvat(source)
    if not found and (packed := source.with_suffix(*ARCHIVES)):
        raise ConfigError(f'{source.root} has no annotations; unpack {packed[0]} first')
    if not found:
        raise ConfigError(
            f'{source.root} has no annotations in a known format; it has {contents(source)}. Known '
            'are COCO, YOLO, VOC, LabelMe, label maps (masks/x.png for images/x.jpg), tables with '
            'the columns path and label, and one folder per class'
        )
    return next(iter(found.items()))


def _refuse_cvat(source: Source) -> None:
    """CVAT's own format, which has the shapes of all images, and tracks of videos, in one file."""
    for name in source.with_suffix('.xml'):
        with source.path(name).open('rb') as file:
            if b'<annotations>' in file.read(4096):
                raise ConfigError(
                    f'{source.path(name)} is in "CVAT for images" or "CVAT for video" format; '
                    'export "COCO 1.0" or, for boxes only, "PASCAL VOC 1.1" from CVAT instead'
                )


def contents(source: Source) -> str:
    """What the folder has, by suffix."""
    suffixes = (posixpath.splitext(name)[1].lower() or 'no suffix' for name in source.names)
    most = Counter(suffixes).most_common(5)
    count = len(source.names)
    return f'{count} file{"s" if count != 1 else ""}, ' + ', '.join(
        f'{n} {suffix}' for suffix, n in most
    )
