"""Prepare an annotated folder: recognize, read, audit, split, write, and describe."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ConfigError, truncate
from . import charts, statistics, write_folders, write_maps, write_objects
from .audit import audit, duplicates
from .bands import Bands, measure, need_bands
from .found import SPLITS, TARGETS, Found, Sample
from .groups import group_of
from .notes import Notes
from .own_config import Needs
from .recognize import READERS, contents, recognize
from .source import Source
from .split import split_off

SHOWN = 50  # lines of tables on the terminal


@dataclass
class Options:
    """What a user may choose; see `cli/options/data.py`."""

    format: str | None = None
    target: str | None = None
    annotations: Sequence[str] = ()
    val_share: float = 0.2
    seed: int = 0
    keeps_groups: bool = True
    skip_broken: bool = False
    reads_bands: bool = False  # even if the default loader would do
    workers: int = 1


@dataclass
class Prepared:
    """What is about to be written."""

    source: Source
    notes: Notes
    found: Found
    target: str
    splits: dict[str, list[Sample]]
    report: list[str] = field(default_factory=list)  # lines
    bands: Bands | None = None

    @property
    def needs(self) -> Needs:
        """What own.py depends on."""
        classes = len(self.found.classes) + (self.target == 'maps' and not self.found.ids)
        train = self.splits['train']
        return Needs(
            len(train),
            classes,
            has_negatives=any(not sample.objects for sample in train),
            has_test='test' in self.splits,
            bands=self.bands,
        )


def prepare(root: Path, options: Options) -> Prepared:
    """Read and check a folder; nothing is written.

    Raises:
        ConfigError: It is in no known format or in several, broken, or cannot be split.
    """
    if not root.is_dir():
        raise ConfigError(f'SRC={str(root)!r}: there is no such folder')
    source, notes = Source(root, options.skip_broken), Notes(root)
    name, reason = recognize(source, options.format or ('coco' if options.annotations else None))
    report = [f'{root}: {contents(source)}']
    if options.annotations:
        found = READERS[name].read(source, notes, _below(source, options.annotations))
    else:
        found = READERS[name].read(source, notes)
    report += [f'format: {name}, {reason}', f'read as: {found.text}']
    if not notes.faults and not found.samples:
        raise ConfigError(
            f'{root}: no annotated image or video is left; {"; ".join(notes.short())}'
        )
    notes.stop()
    target = _target(found, options.target)
    found.reads_bands = target != 'clips' and (options.reads_bands or need_bands(found.samples))
    audit(found, source, notes, options.workers)
    if not found.samples or not found.classes:
        raise ConfigError(f'{root}: nothing annotated is left: {"; ".join(notes.short()).strip()}')
    _check_masks(found, target, options.target, notes)
    splits = _split(found.samples, target, source, options, report, notes)
    bands = measure(splits['train'], notes) if found.reads_bands else None
    report += [bands.text] if bands else []
    return Prepared(source, notes, found, target, splits, report, bands)


def write(prepared: Prepared, folder: Path) -> None:
    """Write the tree, statistics.txt, statistics.png and notes.txt below a folder.

    Raises:
        ConfigError: Names collide or cannot be written.
    """
    found, splits, target = prepared.found, prepared.splits, prepared.target
    root = prepared.source.root
    folder.mkdir()
    classes, masks = found.classes, {}
    if target in ('boxes', 'masks'):
        how = write_objects.write(found, splits, root, folder, target == 'masks')
        counts = {s: statistics.object_counts(samples) for s, samples in splits.items()}
        numbers = {s: [c[name] for name in classes] for s, c in counts.items()}
    elif target == 'maps':
        how = write_maps.write(found, splits, root, folder)
        classes = (folder / 'classes.txt').read_text('utf-8').splitlines()
        masks = {s: sorted((folder / 'masks' / s).rglob('*.png')) for s in splits}
        numbers = {
            s: statistics.pixel_counts(m, len(classes))[0].tolist() for s, m in masks.items()
        }
    else:
        how = write_folders.write(splits, root, folder)
        labels = {s: Counter(sample.label for sample in samples) for s, samples in splits.items()}
        numbers = {s: [c[name] for name in classes] for s, c in labels.items()}
    unit = dict(boxes='objects', masks='objects', maps='pixels').get(target, target)
    text = statistics.tables(splits, classes, target, masks)
    text += f'\n\n{prepared.bands.table}' if prepared.bands else ''
    (folder / 'statistics.txt').write_text(f'{text}\n', 'utf-8')
    charts.draw(folder / 'statistics.png', numbers, classes, unit, splits)
    (folder / 'notes.txt').write_text(prepared.notes.full(), 'utf-8')
    prepared.report.append(f'files: {how}')
    _name_rare(numbers, classes, prepared)
    prepared.report += ['', *_shortened(text.splitlines())]
    if prepared.notes.warnings:
        prepared.report += ['', 'notes (all of them in notes.txt):', *prepared.notes.short()]


def _shortened(lines: list[str]) -> list[str]:
    """Without the middle, if there are many classes."""
    left_out = len(lines) - SHOWN
    if left_out <= 1:
        return lines
    return [*lines[: SHOWN - 8], f'... ({left_out} more in statistics.txt)', *lines[-8:]]


def _below(source: Source, names: Sequence[str]) -> list[str]:
    """Annotation files as given, from here or from the root, as names below the root."""
    found = []
    for name in names:
        place = source.inside('', name)
        if place not in source.known and Path(name).is_file():
            path = Path(name).resolve()
            inside = path.is_relative_to(source.root.resolve())
            place = path.relative_to(source.root.resolve()).as_posix() if inside else None
        if place not in source.known:
            raise ConfigError(f'--annotations {name}: there is no such file in {source.root}')
        found.append(place)
    return found


def _target(found: Found, given: str | None) -> str:
    if given and given not in found.targets:
        raise ConfigError(f'--target={given}: {found.text} can become {" or ".join(found.targets)}')
    if given:  # audits and checks look at the first
        found.targets = (given, *(name for name in found.targets if name != given))
    return found.targets[0]


def _check_masks(found: Found, target: str, given: str | None, notes: Notes) -> None:
    """Objects without masks among others are refused, or ignored if the user says so."""
    if target not in ('masks', 'maps') or found.ids:
        return
    objects = [o for sample in found.samples for o in sample.objects if not o.is_crowd]
    bare = [o for o in objects if not o.has_mask]
    if bare and not given:
        raise ConfigError(
            f'{notes.root}: {len(bare)} of {len(objects)} objects have a box but no mask, first '
            f'{bare[0].where}; --target boxes leaves out the masks, --target masks ignores the '
            'regions of these objects in training and evaluation'
        )
    for entry in bare:
        notes.warn('objects without a mask, whose region is ignored', entry.where)


def _split(
    samples: list[Sample],
    target: str,
    source: Source,
    options: Options,
    report: list[str],
    notes: Notes,
) -> dict[str, list[Sample]]:
    given = {s: [sample for sample in samples if sample.split == s] for s in SPLITS}
    undecided = [sample for sample in samples if not sample.split]
    found = [split for split in SPLITS if given[split]]
    if len(found) == 1 and not undecided:  # one folder that happens to have such a name
        undecided, given[found[0]] = given[found[0]], []
        if found != ['train']:
            report.append(
                f'all samples lie in a folder or file named {found[0]}, so they are split'
            )
    elif found:
        for sample in undecided:
            notes.warn(
                'samples outside of the folders of splits, used for training', sample.path.name
            )
    given['train'] += undecided
    if not given['train']:
        raise ConfigError(f'{source.root}: {_in_words(given)}, but no samples for training')
    if given['val']:
        report.append('splits: as given: ' + _in_words(given))
    else:
        given['train'], given['val'] = _split_off(given['train'], source, target, options)
        keys = [_key(sample, source, options) for sample in given['train'] + given['val']]
        groups = len(set(keys))
        together = f'; {groups} groups by file name kept together' if groups < len(keys) else ''
        report.append(
            f'splits: {_in_words(given)}; val split off with seed {options.seed}, stratified by '
            f'class{together}'
        )
    return {split: found for split, found in given.items() if found}


def _in_words(given: dict[str, list[Sample]]) -> str:
    return ', '.join(f'{split} {len(found)}' for split, found in given.items() if found)


def _split_off(
    samples: list[Sample], source: Source, target: str, options: Options
) -> tuple[list[Sample], list[Sample]]:
    joined: dict[str, str] = {}

    def group(sample: Sample) -> str:
        key = _key(sample, source, options)
        while key in joined:
            key = joined[key]
        return key

    for copies in duplicates(samples):  # identical files join their groups
        for sample in copies[1:]:
            if group(sample) != group(copies[0]):
                joined[group(sample)] = group(copies[0])
    members: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        members[group(sample)].append(sample)
    if len(samples) < 2:
        raise ConfigError(f'{source.root}: one sample is too few for training and validation')
    if len(members) < 2:
        raise ConfigError(
            f'{source.root}: no validation set can be split off: by their names, all '
            f'{len(samples)} samples belong together, as frames of a video do '
            f'({truncate(list(members), 1)}); move some to a folder val, or use --ignore-groups'
        )
    keys = sorted(members)
    groups = [_classes_of(members[key], target) for key in keys]
    sizes = [len(members[key]) for key in keys]
    chosen = split_off(groups, sizes, options.val_share, options.seed)
    picked = {id(sample) for index in chosen for sample in members[keys[index]]}
    return (
        [sample for sample in samples if id(sample) not in picked],
        [sample for sample in samples if id(sample) in picked],
    )


def _key(sample: Sample, source: Source, options: Options) -> str:
    name = sample.path.relative_to(source.root).as_posix()
    return group_of(name) if options.keeps_groups else name


def _classes_of(samples: list[Sample], target: str) -> Counter:
    if target == 'maps' and samples[0].label_map:
        counts: Counter = Counter()
        for sample in samples:
            counts.update(statistics.ids_in(sample.label_map))
        return counts
    if target in ('clips', 'images'):
        return Counter(sample.label for sample in samples)
    return statistics.object_counts(samples)


def _name_rare(numbers: dict[str, list[int]], classes: list[str], prepared: Prepared) -> None:
    """Name classes that a split lacks."""
    for split, counts in numbers.items():
        for name, count in zip(classes, counts):
            if not count:
                prepared.notes.warn(f'classes without an example in {split}', name)


__all__ = ['TARGETS', 'Options', 'Prepared', 'prepare', 'write']
