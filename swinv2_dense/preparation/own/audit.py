"""Compare annotations with their images, and name whatever will not be used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool

from ...checks.band_files import read_bands
from ...checks.coco_file import extent_of
from ...checks.image_files import loader_problem
from ...checks.result_cache import file_digest
from ...errors import ConfigError
from ..images import File, FileError, image_size
from ..report import progress
from ..videos import check_video
from .exif import UPRIGHT, read_header, without_rotation
from .found import Found, Object, Sample
from .label_maps import read_codes
from .notes import Notes
from .source import Source

SLACK = 1  # pixels by which a stated size may differ, from rounding
SMALLEST = 1  # pixels; mmdet drops boxes with a smaller side
BROKEN = 'are damaged; replace them, or leave them out with --skip-broken'


def audit(found: Found, source: Source, notes: Notes, workers: int) -> None:
    """Decode every file, and clip or drop what does not fit it; changes `found`.

    Raises:
        ConfigError: Files are damaged, or have another size than annotated.
    """
    is_video = found.targets == ('clips',)
    check = _video if is_video else _bands if found.reads_bands else _image
    checked = _each(found.samples, check, 'videos' if is_video else 'images', workers)
    kept = []
    for sample, (problem, size) in zip(found.samples, checked):
        if not problem:
            sample.loaded = size
            kept.append(sample)
        elif source.skip_broken:
            notes.warn(
                f'{found_unit(found)} are damaged and left out',
                f'{_name(sample, source)}: {problem}',
            )
        else:
            notes.fault(f'{found_unit(found)} {BROKEN}', f'{_name(sample, source)}: {problem}')
    found.samples = kept
    if found.reads_bands:
        _compare_bands(kept, source, notes)
    for sample in kept:
        if not is_video:
            _check_size(sample, found.reads_bands, source, notes)
        sample.objects = [o for o in sample.objects if _fits(o, sample, notes)]
        _name_repeated(sample, notes)
        if found.targets[0] in ('boxes', 'masks') and not sample.objects:
            notes.warn('images without objects, kept as negatives', _name(sample, source))
    for name in source.unread_images:
        notes.warn('images in a format that OpenCV does not read, left out', name)
    notes.stop()
    _name_duplicates(found, source, notes)
    _name_unused(found, notes)


def found_unit(found: Found) -> str:
    return 'videos' if found.targets == ('clips',) else 'images'


def _each(samples: Sequence[Sample], check, title: str, workers: int) -> list:
    with ThreadPool(workers) as pool:
        return list(progress(pool.imap(check, samples, chunksize=8), title, len(samples)))


def _image(sample: Sample) -> tuple[str, tuple[int, int]]:
    """A problem, or ''; and the size as loaded."""
    try:
        size = image_size(sample.path)
    except FileError as error:
        return loader_problem(sample.path) or ': '.join(filter(None, error.args)), (0, 0)
    return '', size


def _bands(sample: Sample) -> tuple[str, tuple[int, int]]:
    try:
        height, width, sample.bands = read_bands(sample.path).shape
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        return ' '.join(str(error).replace(f'{sample.path} ', '').split()), (0, 0)
    return '', (width, height)


def _video(sample: Sample) -> tuple[str, tuple[int, int]]:
    try:
        check_video(sample.path, File(sample.path.name, 0, 0))
    except FileError as error:
        return ': '.join(filter(None, error.args)), (0, 0)
    return '', (0, 0)


def _name(sample: Sample, source: Source) -> str:
    return str(sample.path.relative_to(source.root))


def _compare_bands(samples: Sequence[Sample], source: Source, notes: Notes) -> None:
    counts = Counter(sample.bands for sample in samples).most_common()
    for sample in samples if len(counts) > 1 else ():
        if sample.bands != counts[0][0]:
            notes.fault(
                f'images have another number of bands than the {counts[0][0]} of most; prepare '
                'each kind as a dataset of its own',
                f'{_name(sample, source)}: {sample.bands}',
            )


def _check_size(sample: Sample, reads_bands: bool, source: Source, notes: Notes) -> None:
    """Compare sizes; decides whether annotations mean the stored or the rotated pixels."""
    header, name = read_header(sample.path), _name(sample, source)
    if reads_bands and header and header.orientation != UPRIGHT:
        notes.fault('images have an orientation, which LoadBands ignores; save them upright', name)
        return
    told = sample.size
    if sample.label_map is not None:
        told = read_codes(sample.label_map)[0].shape[::-1]
    orientation = header.orientation if header else UPRIGHT
    if told is None or _is_close(told, sample.loaded):
        if orientation != UPRIGHT:
            notes.warn(
                'images are rotated by EXIF; annotations are taken to mean the rotated image, as '
                'viewers and the loader show it',
                name,
            )
        return
    if orientation != UPRIGHT and header and _is_close(told, (header.width, header.height)):
        if without_rotation(sample.path.read_bytes()) is None:
            notes.fault(
                'images are rotated by EXIF and annotated without the rotation; remove the tag '
                'from them',
                name,
            )
            return
        sample.drops_rotation, sample.loaded = True, (header.width, header.height)
        notes.warn(
            'images are rotated by EXIF but annotated without the rotation; their copies have no '
            'such tag',
            name,
        )
        return
    notes.fault(
        'images have another size than annotated; use the images that were annotated',
        f'{name}: {sample.loaded[0]} x {sample.loaded[1]}, not {told[0]:g} x {told[1]:g}',
    )


def _is_close(size: tuple, other: tuple) -> bool:
    return max(abs(a - b) for a, b in zip(size, other)) <= SLACK


def _fits(found: Object, sample: Sample, notes: Notes) -> bool:
    """Clip the box of an object to the image; False if nothing is left."""
    width, height = sample.loaded
    if found.box is None:
        extent = extent_of(found.rle or found.polygons)
        if extent is None:
            notes.warn('objects with an empty mask, left out', found.where)
            return False
        found.box = (extent[0], extent[1], extent[2] - extent[0], extent[3] - extent[1])
    x, y, w, h = found.box
    if w < 0 or h < 0:
        notes.fault('boxes have a negative width or height; fix or remove them', found.where)
        return False
    if w < SMALLEST or h < SMALLEST:
        notes.warn('boxes less than a pixel wide or high, left out', found.where)
        return False
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if right - left < SMALLEST or bottom - top < SMALLEST:
        notes.warn('boxes outside of their image, left out', found.where)
        return False
    if (left, top, right, bottom) != (x, y, x + w, y + h):
        over = max(left - x, top - y, x + w - right, y + h - bottom)
        if over > SLACK:
            notes.warn('boxes over the border of their image, clipped', found.where)
        found.box = (left, top, right - left, bottom - top)
    return True


def _name_repeated(sample: Sample, notes: Notes) -> None:
    """Drop objects that repeat another one exactly."""
    seen, kept = set(), []
    for found in sample.objects:
        key = (found.label, found.box, str(found.polygons), str(found.rle))
        if key in seen:
            notes.warn('objects that repeat another one of their image, left out', found.where)
        else:
            seen.add(key)
            kept.append(found)
    sample.objects = kept


def duplicates(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples whose files are identical, in groups of two and more."""
    by_size: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_size[sample.path.stat().st_size].append(sample)
    groups: dict[str, list[Sample]] = defaultdict(list)
    for alike in by_size.values():
        for sample in alike if len(alike) > 1 else ():
            groups[file_digest(sample.path)].append(sample)
    return [group for group in groups.values() if len(group) > 1]


def _name_duplicates(found: Found, source: Source, notes: Notes) -> None:
    """Name identical files; those in two splits stay out of the one that comes first in SPLITS."""
    dropped = set()
    for group in duplicates(found.samples):
        names = ', '.join(_name(sample, source) for sample in group)
        splits = {sample.split for sample in group}
        if 'train' in splits and len(splits) > 1:
            notes.warn('identical files in several splits, left out of train', names)
            dropped |= {id(sample) for sample in group if sample.split == 'train'}
        else:
            notes.warn('identical files, kept in the same split', names)
    found.samples = [sample for sample in found.samples if id(sample) not in dropped]


def _name_unused(found: Found, notes: Notes) -> None:
    """Name classes without objects; of boxes and masks they are left out."""
    if found.targets[0] not in ('boxes', 'masks'):
        return
    used = {o.label for sample in found.samples for o in sample.objects if not o.is_crowd}
    for name in found.classes:
        if name not in used:
            notes.warn('classes without objects, left out', name)
    for sample in found.samples:
        sample.objects = [o for o in sample.objects if o.label in used]
    found.classes = [name for name in found.classes if name in used]
