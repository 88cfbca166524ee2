"""Convert the full ADE20K release of 2021 (ADE20K_2021_17_01) to the 150-class dataset.

In the release an image x.jpg comes with x_seg.png, whose red and green channels encode the index of
a class in a list of over 3000 as R // 10 * 256 + G (ADE20K's utils_ade20k.py), and with x.json,
which names the classes of the image. Labels are assigned by name; other classes than the 150 become
0. The release's own list of classes is a pickle, which could execute code; it is not read.

Images keep their size, which is larger than in the benchmark (short side about 512 pixels). Maps
were corrected since the benchmark, so mIoU differs between the two versions.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..atomic_files import replacing
from ..errors import ConfigError
from .ade20k import IMAGES, tree_below
from .ade20k_names import MERGED, NAMES
from .images import File, FileError, check_files
from .report import ReportRow

LOCK = threading.Lock()  # for the report, which all threads share
DIFFERS = 'differs from the existing file, which was kept'


def label_of(name: str) -> int:
    """Label 1 to 150 of a class of the full release, 0 for other classes.

    A name is a list of synonyms, in a different order in each release.
    """
    return LABELS.get(_synonyms(MERGED.get(name.strip(), name)), 0)


def _synonyms(name: str) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in name.split(','))


LABELS = {_synonyms(name): label for label, name in enumerate(NAMES, start=1)}


def convert(release: Path, root: Path, workers: int) -> list[ReportRow]:
    """Write images and label maps of a release on disk below `root`; writes are atomic.

    Returns:
        A row per split with the number of pairs that exist afterwards. An existing file with other
        content is kept and reported as an error.

    Raises:
        ConfigError: The folder is not such a release.
    """
    tree, parts = tree_below(root), []
    for split in IMAGES:
        source = release / 'images' / 'ADE' / split
        paths = sorted(source.rglob('ADE_*.jpg'))
        if not paths:
            raise ConfigError(
                f'--convert-full={release}: no ADE_*.jpg below {source}; give the folder of the '
                'full release ADE20K_2021_17_01'
            )
        for name in ('images', 'annotations'):
            (tree / name / split).mkdir(parents=True, exist_ok=True)
        part = ReportRow(f'{release.name}/{split}', 'pairs')
        files = [File(str(path.relative_to(source)), 0, 0) for path in paths]
        check_files(part, source, files, Conversion(tree, split, part), workers)
        part.found -= sum(finding.count for finding in part.faults.values())
        parts.append(part)
    return parts


class Conversion(NamedTuple):
    """Convert a pair; raises FileError if that is not possible."""

    tree: Path
    split: str
    part: ReportRow  # receives the warnings

    def __call__(self, image: Path, file: File) -> None:
        labels = self._labels(image)
        _, png = cv2.imencode('.png', labels)  # uint8 can always be encoded
        _write(self.tree / 'annotations' / self.split / f'{image.stem}.png', png.tobytes())
        _write(self.tree / 'images' / self.split / image.name, image.read_bytes())

    def _labels(self, image: Path) -> np.ndarray:
        """(H, W) uint8, 0 to 150."""
        codes = _codes(image.with_name(f'{image.stem}_seg.png'))
        names = _names(image.with_suffix('.json'))
        table = np.zeros(codes.max() + 1, np.uint8)
        occurring = [code for code in np.flatnonzero(np.bincount(codes.ravel())) if code]
        unnamed = [code for code in occurring if code not in names]
        if occurring and len(unnamed) == len(occurring):
            raise FileError('.json without names for the classes in _seg.png')
        if unnamed:
            with LOCK:
                self.part.warn(
                    'classes in _seg.png without a name in .json, labeled 0',
                    f'{image.name}: {", ".join(map(str, unnamed))}',
                )
        for code, name in names.items():
            if code < len(table):
                table[code] = label_of(name)
        return table[codes]


def _codes(path: Path) -> np.ndarray:
    """(H, W) int64: index of each pixel's class in the list of the release, starting at 1."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if pixels is None:
        raise FileError('no readable _seg.png beside the image')
    return pixels[..., 2].astype(np.int64) // 10 * 256 + pixels[..., 1]


def _names(path: Path) -> dict[int, str]:
    """Names of the objects in an image by index; parts of objects have separate maps."""
    try:
        # Class names are ASCII; other text in the file is not always UTF-8.
        content = json.loads(path.read_bytes().decode('latin-1'), strict=False)
        objects = content['annotation']['object']
        return {
            int(item['name_ndx']): item['name']
            for item in objects
            if int(item['parts']['part_level']) == 0
        }
    except FileNotFoundError:
        raise FileError('no .json beside the image') from None
    except (ValueError, KeyError, TypeError) as error:
        raise FileError('.json without a list of named objects', repr(error)) from error


def _write(path: Path, content: bytes) -> None:
    if path.exists():
        if not _is_equal(path, content):
            raise FileError(DIFFERS, str(path))
        return
    try:
        with replacing(path, durable=False) as draft:
            draft.write_bytes(content)
    except OSError as error:
        raise ConfigError(f'{path} cannot be written: {error.strerror}') from error


def _is_equal(path: Path, content: bytes) -> bool:
    """Equal as files, or as maps, since PNG encoders differ between versions."""
    existing = path.read_bytes()
    if existing == content or path.suffix != '.png':
        return existing == content
    found, wanted = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        for data in (existing, content)
    )
    return found is not None and np.array_equal(found, wanted)
