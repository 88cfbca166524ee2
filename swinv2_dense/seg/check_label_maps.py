"""Check the label maps of mmseg datasets before a run.

How mmseg reads a label map, and what this module reports:

- One channel of 8 bits, or of 1: the values are ids.
- A palette, read by pillow (mmseg's default): the indices are ids, the colors are ignored; logs a
  note. OpenCV returns the colors instead.
- 16 or 32 bits: mmseg keeps the lower 8 bits; ids above 255 are an error.
- Colors: mmseg fails in the first iteration or later; an error.
- Only 0 and 255, as in binary masks: 255 is ignored. An error if no map has a second class, since
  nothing would be learned; otherwise a warning. A class without pixels is a warning, too.
- An id beyond the classes: fails in the loss, on CUDA in any later operation; an error.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ..checks.image_sizes import loaded_size
from ..checks.label_presence import check_presence
from ..checks.pixel_limit import PixelLimitError, check_image_file
from ..config_parts import is_local, leaf_datasets, transforms_within
from ..errors import ConfigError
from ..shared_errors import shared_errors

PROGRESS = 2000  # maps between lines in the log
PALETTE = 'have a palette: its indices are used as class ids'
BINARY = 'only contain 0 and 255, and 255 is ignored: if it is meant as a class, write 1'
NOTES = (PALETTE, BINARY)  # logged; all others are errors


@HOOKS.register_module()
class CheckLabelMapsHook(Hook):
    """Read every label map of the datasets before the first iteration.

    Maps are read in threads, and the processes of a distributed run share the work. A map of ADE20K
    takes a millisecond or two, so all 20000 take less than a minute.

    Raises:
        ConfigError: See `check_label_maps`; or files of `--out` would overwrite each other.
    """

    def before_train(self, runner: Any) -> None:
        logs = runner.logger.info, runner.logger.warning
        check_label_maps('train_dataloader', runner.train_loop.dataloader.dataset, *logs)
        if runner.val_loop is not None:
            check_label_maps('val_dataloader', runner.val_loop.dataloader.dataset, *logs)

    def before_test(self, runner: Any) -> None:
        dataset = runner.test_loop.dataloader.dataset
        logs = runner.logger.info, runner.logger.warning
        check_label_maps('test_dataloader', dataset, *logs)
        if any(getattr(metric, 'output_dir', None) for metric in runner.test_evaluator.metrics):
            _check_names(dataset)


class Rules(NamedTuple):
    """How a dataset reads its maps."""

    backend: str
    labels: np.ndarray  # (256,), label by the id in the file
    ignored: int
    classes: tuple[str, ...]
    is_rotated: bool | None  # images by EXIF; None if sizes cannot be compared

    @property
    def allowed(self) -> np.ndarray:
        """(256,) bool, whether an id may occur in a file."""
        return (self.labels < len(self.classes)) | (self.labels == self.ignored)

    def examine(self, image: str, label_map: str) -> tuple[list[tuple[str, str]], np.ndarray]:
        """The `faults` of a pair of files, and (256,) bool, which ids occur."""
        present = np.zeros(256, bool)
        return list(self.faults(image, label_map, present)), present

    def faults(self, image: str, label_map: str, present: np.ndarray) -> Iterator[tuple[str, str]]:
        """Kind of each problem with a pair of files, and the file with details.

        Marks the ids that occur in `present`.
        """
        from mmcv import imfrombytes
        from PIL import Image

        try:
            check_image_file(label_map)
            check_image_file(image)
            content = Path(label_map).read_bytes()
            ids = imfrombytes(content, flag='unchanged', backend=self.backend).squeeze()
        except PixelLimitError as error:
            yield 'exceed the limit of pixels, or their image does', str(error)
            return
        except (OSError, SyntaxError, ValueError, AttributeError, Image.DecompressionBombError):
            yield 'cannot be read as images', label_map
            return
        if ids.ndim < 2:
            yield 'are one pixel high or wide, which mmseg cannot load', label_map
            return
        yield from self._value_faults(ids, label_map, present)
        if ids.ndim == 2 and _has_palette(label_map):
            yield PALETTE, label_map
        size = self.is_rotated is not None and loaded_size(image, self.is_rotated)
        if size and size != ids.shape[1::-1]:
            sizes = 'the map has {1} x {0}, the image {2} x {3}'.format(*ids.shape[:2], *size)
            yield 'differ in size from their image', f'{label_map}: {sizes} pixels'

    def _value_faults(
        self, ids: np.ndarray, label_map: str, present: np.ndarray
    ) -> Iterator[tuple[str, str]]:
        if ids.ndim != 2:
            yield (
                'contain colors instead of class ids (write one channel of ids, or for a palette '
                "use LoadAnnotations(imdecode_backend='pillow'))",
                label_map,
            )
            return
        found = _distinct(ids)
        wide = found[(found < 0) | (found > 255) | (found % 1 != 0)]
        if len(wide):
            yield (
                'contain numbers that do not fit into the 8 bits that mmseg keeps',
                f'{label_map} with {_shown(wide)}',
            )
            return
        found = found.astype(int)
        present[found] = True
        if list(found) == [0, 255] and self.allowed[255]:
            yield BINARY, label_map
        beyond = found[~self.allowed[found]]
        if len(beyond):
            yield (
                f'contain ids beyond the {len(self.classes)} classes (allowed in these files: '
                f'{_ranges(np.flatnonzero(self.allowed))}; see reduce_zero_label and '
                'metainfo.classes of the dataset)',
                f'{label_map} with {_shown(beyond)}',
            )


def check_label_maps(
    name: str,
    dataset: Any,
    log: Callable[[str], None],
    warn: Callable[[str], None] | None = None,
) -> None:
    """Compare the label maps of a dataset with its classes and its images.

    Datasets with their own loading code, and files that are not on local disks, are skipped.

    Args:
        name: Key of its loader.
        dataset: A built dataset, with or without wrappers.
        log, warn: Receive progress and palettes, and classes without pixels.

    Raises:
        ConfigError: For each kind of problem, the number of maps, the first one, and a remedy. Or
            there is nothing to learn from the maps, see `check_presence`.
    """
    warn = warn or log
    own: list[tuple[int, int, str, str]] = []  # dataset, index in it, kind and file of a problem
    present: dict[tuple[str, ...], np.ndarray] = {}  # by the classes of a dataset
    maps = 0
    rank, world_size = get_dist_info()
    with shared_errors():
        for number, part in enumerate(leaf_datasets(dataset)):
            rules = _rules(name, part)
            if rules is None:
                continue
            pairs = dict.fromkeys(_pairs(name, part))
            pairs = list(itertools.islice(pairs, rank, None, world_size))
            if len(pairs) > PROGRESS:
                log(f'{name}: checking {len(pairs)} label maps')
            ids = np.zeros(256, bool)
            with ThreadPoolExecutor() as pool:
                results = pool.map(lambda pair, rules=rules: rules.examine(*pair), pairs)
                for count, (faults, in_map) in enumerate(results, start=1):
                    ids |= in_map
                    position = rank + (count - 1) * world_size
                    own += [(number, position, *fault) for fault in faults]
                    if count % PROGRESS == 0:
                        log(f'{name}: {count} of {len(pairs)} label maps checked')
            has_class = present.setdefault(rules.classes, np.zeros(len(rules.classes), bool))
            labels = set(rules.labels[ids].tolist()) - {rules.ignored}
            has_class[[label for label in labels if label < len(rules.classes)]] = True
            maps += len(pairs)
    found, present, maps = _of_all_processes(own, present, maps)
    notes = {note: found.pop(note, []) for note in NOTES}
    if not found:
        for classes, has_class in present.items():
            for warning in check_presence(name, classes, has_class, maps, notes[BINARY]):
                warn(warning)
    for note, files in notes.items():
        if files:
            (warn if note is BINARY else log)(
                f'{name}: {len(files)} of {maps} label maps {note}, first {files[0]}'
            )
    if found:
        parts = [
            f'{len(files)} label maps {kind}, first {files[0]}' for kind, files in found.items()
        ]
        raise ConfigError(f'{name}: ' + '; '.join(parts))


def _of_all_processes(
    own: list[tuple[int, int, str, str]], present: dict[tuple[str, ...], np.ndarray], maps: int
) -> tuple[dict[str, list[str]], dict[tuple[str, ...], np.ndarray], int]:
    """Gather all findings in the order of the maps, so that all processes raise the same error."""
    parts = all_gather_object((own, present, maps))
    found: dict[str, list[str]] = defaultdict(list)
    for _, _, kind, file in sorted(itertools.chain.from_iterable(part[0] for part in parts)):
        found[kind].append(file)
    all_present = {
        classes: np.any([part[classes] for _, part, _ in parts], axis=0) for classes in present
    }
    return found, all_present, sum(part[2] for part in parts)


def _rules(name: str, dataset: Any) -> Rules | None:
    """How to check a dataset; None to skip it.

    Raises:
        ConfigError: Dataset and transform disagree on `reduce_zero_label`.
    """
    from mmcv.transforms import LoadImageFromFile
    from mmseg.datasets import BaseSegDataset, LoadAnnotations

    steps = list(transforms_within(getattr(dataset, 'pipeline', None)))
    loaders = [step for step in steps if isinstance(step, LoadAnnotations)]
    classes = isinstance(dataset, BaseSegDataset) and dataset.metainfo.get('classes')
    if not loaders or not classes or type(loaders[0]) is not LoadAnnotations:
        return None
    if not is_local(dataset.backend_args) or not is_local(loaders[0].backend_args):
        return None
    given, own = loaders[0].reduce_zero_label, dataset.reduce_zero_label
    if given not in (None, own):
        raise ConfigError(
            f'{name}: the dataset has reduce_zero_label={own}, but its LoadAnnotations has '
            f'reduce_zero_label={given}; remove the latter'
        )
    labels = labels_of_ids(own, dataset.label_map)
    images = [step for step in steps if type(step) is LoadImageFromFile]
    is_rotated = images[0].color_type in ('color', 'grayscale') if images else None
    ignored = dataset.ignore_index
    return Rules(loaders[0].imdecode_backend, labels, ignored, tuple(classes), is_rotated)


def labels_of_ids(reduce_zero_label: bool, label_map: Mapping[int, int] | None) -> np.ndarray:
    """(256,) uint8: the label that `LoadAnnotations` assigns to each id in a file."""
    labels = np.arange(256, dtype=np.uint8)
    if reduce_zero_label:
        labels = np.where(np.isin(labels, (0, 255)), 255, labels - 1).astype(np.uint8)
    given = labels.copy()
    for old, new in (label_map or {}).items():
        labels[given == old] = new
    return labels


def _pairs(name: str, dataset: Any) -> Iterator[tuple[str, str]]:
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        if 'seg_map_path' not in info:
            raise ConfigError(
                f'{name}: {info["img_path"]} has no label map; set data_prefix.seg_map_path, or '
                'remove LoadAnnotations from the pipeline'
            )
        if '://' not in info['seg_map_path']:
            yield info['img_path'], info['seg_map_path']


def _has_palette(label_map: str) -> bool:
    """False for formats that only OpenCV reads."""
    from PIL import Image

    try:
        with Image.open(label_map) as file:
            return file.mode == 'P'
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _distinct(ids: np.ndarray) -> np.ndarray:
    """The sorted distinct values; counting takes a third of the time of sorting."""
    if ids.dtype not in (bool, np.uint8, np.uint16):  # np.bincount needs small integers
        return np.unique(ids)
    return np.flatnonzero(np.bincount(ids.ravel()))


def _shown(numbers: Sequence) -> str:
    shown = ', '.join(f'{n:g}' for n in numbers[:3])
    return f'{shown}, ...' if len(numbers) > 3 else shown


def _ranges(numbers: Iterable[int]) -> str:
    """Sorted numbers as ranges: 0..150, 255."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ', '.join(f'{a}..{b}' if b > a else f'{a}' for a, b in runs)


def _check_names(dataset: Any) -> None:
    """Check that names are unique: mmseg names its files after the images, without folders."""
    seen: dict[str, str] = {}
    for part in leaf_datasets(dataset):
        for i in range(len(part)):
            path = part.get_data_info(i)['img_path']
            name = os.path.splitext(os.path.basename(path))[0]
            if seen.setdefault(name, path) != path:
                raise ConfigError(
                    f'--out: {path} and {seen[name]} would both be written to {name}.png; test '
                    'them one folder at a time'
                )
