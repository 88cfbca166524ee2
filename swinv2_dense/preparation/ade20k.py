"""ADE20K's scene parsing benchmark, 150 classes (ADEChallengeData2016), as mmseg reads it."""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError
from .images import File, LabelMapCheck, check_files, image_size
from .report import ReportRow

TREE = 'ADEChallengeData2016'  # below the root, as in the archive
ARCHIVES = {f'{TREE}.zip': ''}
IMAGES = {'training': 20210, 'validation': 2000}
LABELS = range(151)  # 0 is "other", which is not evaluated


def check(root: Path, workers: int) -> list[ReportRow]:
    """Check that every image has a label map of its size with labels from 0 to 150."""
    tree = tree_below(root)
    parts = []
    for split in IMAGES:
        parts += _check_split(tree, split, workers)
    return parts


def tree_below(root: Path) -> Path:
    """The folder of the dataset; raise a ConfigError if the root is that folder itself."""
    if root.resolve().name == TREE:
        raise ConfigError(f'--root={root}: give the folder that contains {TREE}, {root.parent}')
    return root / TREE


def _check_split(tree: Path, split: str, workers: int) -> list[ReportRow]:
    images, maps = ReportRow(f'images/{split}', 'images'), ReportRow(f'annotations/{split}', 'maps')
    names = sorted(path.name for path in (tree / images.name).glob('*.jpg'))
    if not names:
        images.fault('no images', str(tree / images.name))
    sizes: dict[str, tuple[int, int]] = {}

    def note_size(path: Path, file: File) -> None:
        sizes[file.name] = image_size(path)

    check_files(images, tree / images.name, [File(n, 0, 0) for n in names], note_size, workers)
    if names and len(names) != IMAGES[split]:
        images.warn(f'not the {IMAGES[split]:,} images of the benchmark', f'{len(names):,}')
    pngs = [File(f'{Path(name).stem}.png', *size) for name, size in sorted(sizes.items())]
    check_files(maps, tree / maps.name, pngs, LabelMapCheck(LABELS), workers)
    stems = {Path(name).stem for name in names}
    for path in sorted((tree / maps.name).glob('*.png')):
        if path.stem not in stems:
            maps.warn('map without an image', path.name)
    return [images, maps]
