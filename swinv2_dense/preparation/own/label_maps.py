"""Images with label maps: ids, masks of 0 and 255, or colors; also CVAT's and Roboflow's exports.

Maps are found by their folder (masks/x.png for images/x.jpg) or the end of their name (x_mask.png).
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ...checks.image_headers import read_image_size
from ...checks.pixel_limit import PixelLimitError, check_pixels
from .found import Found, Sample
from .image_sets import image_sets
from .map_files import MAP_WORDS, NAME_END, is_map, words_of
from .map_names import MapNames, read_map_names
from .notes import Notes
from .source import Source, split_of_folders

NOT_MAPS = {'segmentationobject'}
IMAGE_WORDS = {'image', 'images', 'img', 'imgs', 'jpegimages', 'data', 'input', 'inputs', 'rgb'}
IGNORED = 255
GRAY = 1 << 16 | 1 << 8 | 1  # the color (1, 1, 1)
BORDER = 224 << 16 | 224 << 8 | 192  # the color of borders in VOC, which are ignored
LOSSY = ('JPEG', 'MPO')
NEAR = 64  # values this close to 0 or 255 count as such after compression
MOST_UNNAMED = 199  # id; a smoothed mask of 0 and 255 has more
MOST_COLORS = 256  # of a map; more come from lossy compression or smoothing


def evidence(source: Source) -> str:
    pairs, alone = _pairs(source)
    if not pairs or len(alone) > len(pairs):
        return ''
    image, label_map = next(iter(pairs.items()))
    return f'{len(pairs)} images with a map, such as {image} with {label_map}'


def read(source: Source, notes: Notes) -> Found:
    """Images and maps; each map is read once, to tell ids, binary masks and colors apart.

    Raises:
        ConfigError: The file that names the classes is broken.
    """
    pairs, alone = _pairs(source)
    for key, found in source.by_stem.items():
        if len(found) > 1 and not is_map(found[0]):
            notes.fault('images share a name up to the suffix; rename one', f'{key}: {found[:2]}')
    for name in alone:
        source.missing(f'that of {name}', notes)
    images = {name for name in source.images if not is_map(name)}
    for image in sorted(images - set(pairs)):
        notes.warn('images without a label map, left out', image)
    names = read_map_names(source)
    paths = [source.path(name) for name in pairs.values()]
    with ThreadPoolExecutor() as pool:
        contents = list(pool.map(_examine, paths))
    codes: set[int] = set()
    for name, content in zip(pairs.values(), contents):
        if content.problem:
            notes.fault(content.problem, name)
        codes |= content.codes
    painted = [c.is_painted for c in contents]
    if any(painted) and not all(painted):
        which = list(pairs.values())
        notes.fault(
            'maps hold colors and the others ids; save all in one way', which[painted.index(True)]
        )
    is_painted = any(painted)
    if is_painted and not names.colors and all(code % GRAY == 0 for code in codes):
        classes, ids = _ids({code // GRAY for code in codes}, names, notes)  # saved as gray RGB
        ids = {GRAY * code: index for code, index in ids.items()}
    else:
        classes, ids = (_colors if is_painted else _ids)(codes, names, notes)
    listed = image_sets(source, 'Segmentation')
    samples = [
        Sample(
            source.path(image),
            listed.get(posixpath.splitext(posixpath.basename(image))[0]) or split_of_folders(image),
            label_map=source.path(label_map),
        )
        for image, label_map in pairs.items()
    ]
    text = f'label maps of {_kind(is_painted, ids, names)}'
    return Found(text, classes, samples, ('maps',), ids=ids, is_painted=is_painted)


class _Content(NamedTuple):
    codes: set[int]
    is_painted: bool
    problem: str = ''


def read_codes(path: Path) -> tuple[np.ndarray, bool]:
    """Ids or colors (r << 16 | g << 8 | b) of a map, (H, W) int64, and whether they are colors.

    Raises:
        OSError, ValueError: It is not an image.
        PixelLimitError: It has more pixels than allowed.
    """
    check_pixels(*(read_image_size(path) or (0, 0)), str(path))
    with Image.open(path) as file:
        if file.format in LOSSY:  # a mask of 0 and 255, see `_examine`
            return np.where(np.asarray(file.convert('L')) < 128, 0, 255), False
        if file.mode in ('1', 'L', 'P', 'I', 'I;16', 'I;16B'):
            return np.asarray(file).astype(np.int64), False
        red, green, blue = np.asarray(file.convert('RGB')).astype(np.int64).transpose(2, 0, 1)
    return red << 16 | green << 8 | blue, True


def _examine(path: Path) -> _Content:
    try:
        codes, is_painted = read_codes(path)
    except PixelLimitError as error:
        return _Content(set(), False, f'maps have too many pixels ({error.reason})')
    except (OSError, ValueError, SyntaxError):
        return _Content(set(), False, 'maps cannot be read; export them again')
    if not _is_exact(path):
        return _Content(
            set(),
            False,
            'maps are compressed with loss, which changes ids and colors; export them as PNG',
        )
    found = set(np.unique(codes).tolist())
    if is_painted and len(found) > MOST_COLORS:
        return _Content(
            set(),
            True,
            f'maps have more than {MOST_COLORS} colors, as after JPEG compression or smoothing; '
            'export them as PNG without smoothing',
        )
    return _Content(found, is_painted)


def _is_exact(path: Path) -> bool:
    """False for JPEG, unless nearly all pixels are close to 0 or 255."""
    with Image.open(path) as file:
        if file.format not in LOSSY:
            return True
        values = np.asarray(file.convert('RGB'))
    return bool(((values < NEAR) | (values > 255 - NEAR)).mean() > 0.95 and _is_gray(values))


def _is_gray(values: np.ndarray) -> bool:
    return bool((values.max(2) - values.min(2) < NEAR).mean() > 0.95)


def _ids(codes: set[int], names: MapNames, notes: Notes) -> tuple[list[str], dict[int, int]]:
    """Classes, and the index of each id that occurs."""
    if codes <= {0, 255} and 255 in codes:
        classes = names.by_id or ['background', 'foreground']
        return classes[:2], {0: 0, 255: 1}
    largest = max(codes - {IGNORED}, default=-1)
    if largest > IGNORED:
        notes.fault('ids do not fit into 8 bits; number the classes from 0 to 254', str(largest))
        return [], {}
    classes = names.by_id
    if not classes:
        if largest > MOST_UNNAMED:
            notes.fault(
                'maps hold ids up to 254, but no classes.txt names them; if they are masks of 0 '
                'and 255, export them without smoothing or resizing, otherwise list the classes',
                f'id {largest}',
            )
        classes = [f'class {i}' for i in range(largest + 1)]
        notes.warn('classes without a name, because there is no classes.txt', f'0 to {largest}')
    for code in sorted(codes - {IGNORED}):
        if code >= len(classes):
            notes.fault(
                f'ids are beyond the {len(classes)} names of {names.file}; add names, or fix the '
                'maps',
                str(code),
            )
    known = {code: code for code in range(min(len(classes), IGNORED))}
    return classes, {**known, IGNORED: IGNORED}


def _colors(codes: set[int], names: MapNames, notes: Notes) -> tuple[list[str], dict[int, int]]:
    colors = names.colors
    if not colors:
        shown = sorted(codes - {BORDER})
        colors = {code: 'background' if code == 0 else color_name(code) for code in shown}
        notes.warn(
            'classes named after their color, because there is no labelmap.txt or class_dict.csv',
            ', '.join(colors.values()),
        )
    for code in sorted(codes - set(colors) - {BORDER}):
        notes.fault(f'colors of maps are not in {names.file}; add them', color_name(code))
    classes = list(dict.fromkeys(colors.values()))
    ids = {code: classes.index(name) for code, name in colors.items()}
    return classes, {BORDER: IGNORED, **ids}


def color_name(code: int) -> str:
    return f'color {code >> 16} {code >> 8 & 255} {code & 255}'


def _kind(is_painted: bool, ids: dict[int, int], names: MapNames) -> str:
    kind = (
        'colors' if is_painted else 'masks of 0 and 255' if ids == {0: 0, 255: 1} else 'class ids'
    )
    return f'{kind}, names from {names.file}' if names.file else kind


def _pairs(source: Source) -> tuple[dict[str, str], list[str]]:
    """The map of each image that has one, and the maps without an image."""
    by_key, by_stem = defaultdict(list), defaultdict(list)
    maps = []
    for name in source.images:
        if is_map(name):
            maps.append(name)
        else:
            stem = posixpath.splitext(posixpath.basename(name))[0]
            by_key[_key(name, stem)].append(name)
            by_stem[stem].append(name)
    pairs: dict[str, str] = {}
    alone = []
    for name in maps:
        if any(words_of(part) & NOT_MAPS for part in name.split('/')[:-1]):
            continue
        stem = posixpath.splitext(posixpath.basename(name))[0]
        end = NAME_END.match(stem)
        stems = [stem, end[1]] if end else [stem]
        found = next((f for s in stems if (f := by_key.get(_key(name, s)))), None)
        found = found or next((f for s in stems if len(f := by_stem.get(s, [])) == 1), None)
        if found and found[0] not in pairs:
            pairs[found[0]] = name
        else:
            alone.append(name)
    return dict(sorted(pairs.items())), alone


def _key(name: str, stem: str) -> tuple:
    """What image and map have in common: folders without words for either, and the stem."""
    folders = [words_of(part) - MAP_WORDS - IMAGE_WORDS for part in name.split('/')[:-1]]
    return (*(tuple(sorted(words)) for words in folders if words), stem)
