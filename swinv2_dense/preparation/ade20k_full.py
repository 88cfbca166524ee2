"""Make the 150-class tree of ADE20K from its full release of 2021 (ADE20K_2021_17_01).

There an image x.jpg has x_seg.png, whose red and green channels hold the index of a pixel's class
in a list of more than 3000, R // 10 * 256 + G (ADE20K's utils_ade20k.py), and x.json, which names
the classes that occur. Names decide on the label: classes that are none of the 150 become 0. The
release's own list is a pickle, which would run code; it is not read.

Images stay as they are: larger than the benchmark's, which have a short side of about 512 pixels.
Maps were corrected since the benchmark, so mIoU on the two trees differs.
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
from .report import Part

LOCK = threading.Lock()  # for the report, of which all threads know
DIFFERS = 'differs from the file that was there, which was kept'


def label_of(name: str) -> int:
    """Label 1 to 150 of a class of the full release, 0 if it is none of the 150.

    A name is a list of synonyms, whose order differs between the releases.
    """
    return LABELS.get(_synonyms(MERGED.get(name.strip(), name)), 0)


def _synonyms(name: str) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in name.split(','))


LABELS = {_synonyms(name): label for label, name in enumerate(NAMES, start=1)}


def convert(release: Path, root: Path, workers: int) -> list[Part]:
    """Write images and label maps of a release on disk below `root`, each file whole or not at all.

    Returns:
        A row for each split: pairs that are there afterwards. A file that was there and differs is
        kept and reported as a fault.

    Raises:
        ConfigError: The folder holds no such release.
    """
    tree, parts = tree_below(root), []
    for split in IMAGES:
        source = release / 'images' / 'ADE' / split
        paths = sorted(source.rglob('ADE_*.jpg'))
        if not paths:
            raise ConfigError(
                f'--convert-full={release}: no ADE_*.jpg below {source}; give the folder of the '
                'full release, ADE20K_2021_17_01'
            )
        for name in ('images', 'annotations'):
            (tree / name / split).mkdir(parents=True, exist_ok=True)
        part = Part(f'{release.name}/{split}', 'pairs')
        files = [File(str(path.relative_to(source)), 0, 0) for path in paths]
        check_files(part, source, files, Conversion(tree, split, part), workers)
        part.found -= sum(finding.count for finding in part.faults.values())
        parts.append(part)
    return parts


class Conversion(NamedTuple):
    """Convert a pair; raise FileError where it cannot be made out."""

    tree: Path
    split: str
    part: Part  # takes the warnings

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
            raise FileError('.json that names none of the classes in _seg.png')
        if unnamed:
            with LOCK:
                self.part.warn(
                    'classes in _seg.png without a name in .json, taken as 0',
                    f'{image.name}: {", ".join(map(str, unnamed))}',
                )
        for code, name in names.items():
            if code < len(table):
                table[code] = label_of(name)
        return table[codes]


def _codes(path: Path) -> np.ndarray:
    """(H, W) int64: index of each pixel's class in the list of the release, from 1 on."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if pixels is None:
        raise FileError('no readable _seg.png beside the image')
    return pixels[..., 2].astype(np.int64) // 10 * 256 + pixels[..., 1]


def _names(path: Path) -> dict[int, str]:
    """Index to name of the objects in an image; parts of objects have maps of their own."""
    try:
        # Class names are ASCII; other texts in the file are not always UTF-8.
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
        raise FileError('.json that lists no objects with names', repr(error)) from error


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
    """Equal as files, or as maps: encoders of PNG differ between versions."""
    there = path.read_bytes()
    if there == content or path.suffix != '.png':
        return there == content
    found, wanted = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        for data in (there, content)
    )
    return found is not None and np.array_equal(found, wanted)
