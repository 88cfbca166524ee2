"""YOLO: one text file per image, with rows of a class id and a box or polygon in fractions.

    0 0.5 0.5 0.2 0.1                   class id, center x, center y, width, height
    0 0.1 0.1 0.9 0.1 0.5 0.8           class id and the points of a polygon, x before y

The labels of images/a/x.jpg are labels/a/x.txt, or x.txt beside the image. Names of classes come
from a data.yaml, or a text file with one per line.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ...checks.image_sizes import stored_sizes
from ...errors import ConfigError, truncate
from ..images import FileError, image_size
from .found import SPLITS, Found, Object, Sample
from .notes import Notes
from .source import ABSOLUTE, OUTSIDE, Source, same_name, split_of_folders

NAME_FILES = ('classes.txt', 'obj.names', '_darknet.labels', 'labels.txt', 'classes.names')
SNIFFED = 200  # text files
OVER = 0.5  # by which coordinates may leave 0..1: beyond, they are pixels


def evidence(source: Source) -> str:
    pairs = _pairs(source)
    sniffed = [text for _, text in pairs if text][:SNIFFED]
    rows = [text for text in sniffed if _looks_like_rows(source, text)]
    if not rows:
        return ''
    config = _yaml_file(source)
    return f'{len([text for _, text in pairs if text])} images with a .txt of the same name' + (
        f', and {config}' if config else ''
    )


def read(source: Source, notes: Notes) -> Found:
    """Boxes and polygons; images without a file are images without objects, as in YOLO.

    Raises:
        ConfigError: data.yaml is broken, or there are no names and ids are not consecutive.
    """
    config = _yaml_file(source)
    settings = _read_yaml(source, config) if config else {}
    names, origin = _names(source, settings, config)
    splits = _splits(source, settings, config or '', notes)
    pairs = _pairs(source)
    used = {text for _, text in pairs if text}
    for image, _ in pairs:
        if splits and image not in splits:
            notes.warn(f'images outside of the places in {config}, left out', image)
    pairs = [pair for pair in pairs if not splits or pair[0] in splits]
    for text in source.with_suffix('.txt'):
        if text not in used and _looks_like_rows(source, text):
            source.missing(f'that of {text}', notes)
    has_keypoints = 'kpt_shape' in settings
    if has_keypoints:
        notes.warn('keypoints, of which only the boxes are used', str(config))
    sizes = stored_sizes([str(source.path(image)) for image, _ in pairs])
    samples, largest = [], -1
    for (image, text), size in zip(pairs, sizes):
        sample = Sample(source.path(image), splits.get(image) or split_of_folders(image))
        samples.append(sample)
        try:  # fractions of the rotated image
            width, height = _rotated(size) if size else image_size(sample.path)
        except FileError:
            continue  # a damaged image, which the audit reports
        if text is None:
            notes.warn('images without a label file, kept as images without objects', image)
            continue
        for number, line in enumerate(source.text(text).splitlines(), start=1):
            if line.strip():
                where = f'{text}, line {number}'
                row = line.split()[: 5 if has_keypoints else None]
                row = _row(row, where, len(names) if names else None, notes)
                if row is not None:
                    label, box, polygon = row
                    largest = max(largest, label)
                    sample.objects.append(_object(label, box, polygon, where, width, height))
    if not names:
        names, origin = [f'class {i}' for i in range(largest + 1)], 'no file with names'
        notes.warn(
            'classes without a name, because there is no data.yaml or classes.txt',
            f'0 to {largest}',
        )
    for sample in samples:
        for found in sample.objects:
            found.label = names[int(found.label)]
    with_masks = any(o.has_mask for sample in samples for o in sample.objects)
    targets = ('masks', 'boxes', 'maps') if with_masks else ('boxes',)
    return Found(f'YOLO: names from {origin}', names, samples, targets)


def _rotated(size: tuple[int, int, bool]) -> tuple[int, int]:
    width, height, is_turned = size
    return (height, width) if is_turned else (width, height)


def _pairs(source: Source) -> list[tuple[str, str | None]]:
    """Each image and its label file, if there is one.

    Names are compared exactly, and what is left without regard to case (Images/ and Labels/).
    """
    texts = {name[:-4]: name for name in source.with_suffix('.txt')}
    pairs = {image: _label_of(image, texts) for image in source.images}
    used = set(pairs.values())
    left = {same_name(stem): name for stem, name in texts.items() if name not in used}
    for image, text in pairs.items() if left else ():
        if text is None:
            pairs[image] = _label_of(same_name(image), left)
    return list(pairs.items())


def _label_of(image: str, texts: Mapping[str, str]) -> str | None:
    stem = posixpath.splitext(image)[0]
    # The last folder called images, as ultralytics does.
    moved = re.sub(r'(^|.*/)images/', r'\1labels/', stem, count=1)
    return texts.get(moved) or texts.get(stem)


def _looks_like_rows(source: Source, name: str) -> bool:
    """Whether the first row is one of YOLO."""
    with source.path(name).open(encoding='utf-8-sig', errors='replace') as file:
        first = next((line for line in file if line.strip()), '')
    words = first.split()
    return (
        len(words) >= 5
        and words[0].isdecimal()
        and all(_number(word) is not None for word in words)
    )


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _row(words: list[str], where: str, classes: int | None, notes: Notes) -> Any:
    """Class id, box or None, polygon or None; None with a note if the row is wrong."""
    line = ' '.join(words)
    numbers = [_number(word) for word in words]
    if None in numbers or numbers[0] < 0 or numbers[0] % 1:
        notes.fault(
            'rows are not a class id and numbers; fix or remove them', f'{where}: {line[:40]!r}'
        )
    elif classes is not None and numbers[0] >= classes:
        notes.fault(
            f'class ids are beyond the {classes} names; add names, or fix the ids',
            f'{where}: {words[0]}',
        )
    elif len(numbers) == 6:
        notes.fault('rows have 6 numbers, as predictions with a score do; labels are needed', where)
    elif len(numbers) < 7 and len(numbers) != 5 or len(numbers) > 5 and len(numbers) % 2 == 0:
        notes.fault(
            'polygons have fewer than 3 points or an odd number of coordinates; fix or remove them',
            f'{where}: {line[:40]!r}',
        )
    elif max(map(abs, numbers[1:])) > 1 + OVER:
        notes.fault(
            'coordinates are not fractions in 0..1; divide them by width and height of the image',
            f'{where}: {line[:40]!r}',
        )
    elif len(numbers) == 5:
        return int(numbers[0]), numbers[1:], None
    else:
        return int(numbers[0]), None, numbers[1:]
    return None


def _object(label: int, box: Any, polygon: Any, where: str, width: int, height: int) -> Object:
    if box is None:
        scaled = [c * (height if i % 2 else width) for i, c in enumerate(polygon)]
        return Object(str(label), where, polygons=[scaled])
    x, y, w, h = box
    scaled = ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
    return Object(str(label), where, box=scaled)


# ------------------------------------------------------------------------------ names and splits


def _yaml_file(source: Source) -> str | None:
    files = source.with_suffix('.yaml', '.yml')
    named = [n for n in files if re.search(r'\bnames[\'"]?\s*:', source.text(n))]
    if len(named) > 1:
        named = [n for n in named if posixpath.basename(n) == 'data.yaml'] or named
    return min(named, key=lambda name: name.count('/')) if named else None


def _read_yaml(source: Source, name: str) -> dict:
    try:
        settings = yaml.safe_load(source.text(name))
    except yaml.YAMLError as error:
        text = ' '.join(str(error).split())
        raise ConfigError(f'{source.path(name)} is not YAML: {text}') from error
    if not isinstance(settings, Mapping):
        raise ConfigError(f'{source.path(name)} must have keys such as names and train')
    return dict(settings)


def _names(source: Source, settings: Mapping, config: str | None) -> tuple[list[str], str]:
    if config:
        names = settings.get('names')
        if isinstance(names, Mapping):
            ids = sorted(names, key=lambda key: int(key) if str(key).isdecimal() else -1)
            if [str(key) for key in ids] != [str(i) for i in range(len(ids))]:
                raise ConfigError(
                    f'{source.path(config)}: names have the ids {truncate([str(i) for i in ids])}; '
                    'number them from 0 without gaps'
                )
            names = [names[key] for key in ids]
        if not isinstance(names, list) or not names:
            raise ConfigError(f'{source.path(config)}: names={names!r} must be a list of classes')
        names = [str(name) for name in names]
        _check_repeated(source, config, names)
        return names, config
    files = [n for n in source.names if posixpath.basename(n) in NAME_FILES]
    for name in sorted(files, key=lambda name: name.count('/')):
        names = [line.strip() for line in source.text(name).splitlines() if line.strip()]
        if names:
            _check_repeated(source, name, names)
            return names, name
    return [], ''


def _check_repeated(source: Source, file: str, names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(
            f'{source.path(file)} repeats the names {truncate(repeated)}; give each class its own'
        )


def _splits(source: Source, settings: Mapping, config: str, notes: Notes) -> dict[str, str]:
    """The split of each image that data.yaml names by a folder or a list file."""
    start, folder = settings.get('path'), posixpath.dirname(config)
    found: dict[str, str] = {}
    for split in SPLITS:
        given = settings.get(split) or (settings.get('valid') if split == 'val' else None)
        for place in [given] if isinstance(given, str) else given or ():
            base = _place(source, str(start or ''), folder) or folder
            target = _place(source, str(place), base)
            if target is None:
                notes.fault(
                    OUTSIDE
                    if str(place).replace('\\', '/').startswith(('..', '/'))
                    else f'places of {config} do not exist; fix or remove them',
                    f'{split}: {place!r}',
                )
            elif target.endswith('.txt'):
                for line in filter(None, map(str.strip, source.text(target).splitlines())):
                    image = source.image(line, posixpath.dirname(target), notes, target)
                    if image:
                        found[image] = split
            else:
                prefix = '' if target == '.' else f'{target}/'
                found.update({i: split for i in source.images if i.startswith(prefix)})
    return found


def _place(source: Source, name: str, folder: str) -> str | None:
    """A folder or list file of data.yaml below the root; None if there is none.

    Roboflow writes ../train/images for the train/images beside data.yaml, and absolute paths are
    those of another computer: such a path counts from the first component that exists here.
    """
    parts = [p for p in name.strip().replace('\\', '/').split('/') if p not in ('', '.')]
    starts = range(len(parts)) if ABSOLUTE.match(name) or '..' in parts else range(1)
    for start in starts:
        for base in (folder, ''):
            place = source.inside(base, '/'.join(parts[start:]) or '.')
            if place is None or '..' in parts[start:] and start:
                continue
            if (
                place in source.known
                or place == '.'
                or any(n.startswith(f'{place}/') for n in source.names)
            ):
                return place
    return None
