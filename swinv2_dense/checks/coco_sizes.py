"""Compare the image sizes in an annotation file with the pixels that a loader returns.

Threads read the headers of all images, or of `COMPARED` random ones with a fixed seed if there are
more. A header takes about 0.1 ms of one core, plus a round trip on network storage.
"""

from __future__ import annotations

import os
import random

import numpy as np

from .coco_file import CocoFile, Findings, Image
from .coco_report import Report, Use
from .image_sizes import stored_sizes

COMPARED = 20_000  # images
SLACK = 2  # pixels, of rounding


def image_path(file_name: str, use: Use) -> str:
    """Path of an image as the dataset reads it."""
    if use.depth:  # Objects365V2Dataset keeps patchN/x.jpg
        file_name = '/'.join(file_name.split('/')[-use.depth :])
    return os.path.join(use.folder or '', file_name)


def resolve_sizes(file: CocoFile, use: Use, report: Report, found: Findings) -> np.ndarray:
    """(keys, 2): width and height by the key of an image; missing ones are read from the files."""
    sizes = np.full((len(file.keys), 2), np.nan)
    missing = [i for i in file.images if not (i.width >= 1 and i.height >= 1)]
    others = [i for i in file.images if i.width >= 1 and i.height >= 1]
    for image in others:
        sizes[image.key] = image.width, image.height
    if use.folder is None or use.is_rotated is None:
        for image in missing:
            found.add(_no_size(image), _named(image))
        return sizes
    compared = others
    if len(others) > COMPARED:
        compared = random.Random(0).sample(others, COMPARED)  # noqa: S311  no secret
        report.notes.append(f'only {COMPARED} of its {len(others)} images are checked for size')
    stored = stored_sizes([image_path(i.file_name, use) for i in (*missing, *compared)])
    for image, size in zip(missing, stored):
        if size is None:
            found.add(_no_size(image), _named(image))
            continue
        loaded = _loaded(size, use.is_rotated)
        sizes[image.key] = report.sizes[image.key] = loaded
    if report.sizes:
        first = next(i for i in missing if i.key in report.sizes)
        report.repairs.append(
            f'{len(report.sizes)} images have no width and height; they are read from the image '
            f'files, first {_named(first)}'
        )
    near = Findings()
    for image, size in zip(compared, stored[len(missing) :]):
        if size is not None:
            _compare(image, size, use.is_rotated, found, near)
    report.notes += [f'{n} {kind}, first {first}' for kind, (n, first) in near.items()]
    return sizes


def _named(image: Image) -> str:
    return f'{image.file_name!r} with {image.width:g} x {image.height:g}'


def _no_size(image: Image) -> str:
    return 'images have no width and height of 1 or more; write those of the pixels'


def _loaded(size: tuple[int, int, bool], is_rotated: bool | None) -> tuple[int, int]:
    width, height, is_turned = size
    return (height, width) if is_turned and is_rotated else (width, height)


def _compare(
    image: Image, size: tuple[int, int, bool], is_rotated: bool, found: Findings, near: Findings
) -> None:
    told = (image.width, image.height)
    loaded = _loaded(size, is_rotated)
    if told == loaded:
        return
    first = (
        f'{image.file_name!r}: {told[0]:g} x {told[1]:g} in the file, {loaded[0]} x {loaded[1]} '
        'as loaded'
    )
    if size[2] and told == loaded[::-1]:
        remedy = (
            'rotate the pixels and remove the tag, or load the images with '
            "LoadImageFromFile(color_type='color_ignore_orientation')"
            if is_rotated
            else "load the images rotated, with LoadImageFromFile(color_type='color')"
        )
        pixels = 'before' if is_rotated else 'after'
        found.add(f'images have the size {pixels} rotation by EXIF; {remedy}', first)
    elif told == loaded[::-1]:
        found.add('images have width and height swapped; swap them in the file', first)
    elif max(abs(told[0] - loaded[0]), abs(told[1] - loaded[1])) <= SLACK:
        near.add(f'images are up to {SLACK} pixels larger or smaller than in the file', first)
    else:
        found.add(
            'images have another size than in the file, so boxes and masks miss their objects; '
            'export the annotations for these images, or use the images that were annotated',
            first,
        )
