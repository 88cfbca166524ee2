"""Masks of annotations in COCO's format, looked at before pycocotools decodes them.

pycocotools 2.0.11 does not mind what it is given. Polygons with nan or far coordinates and run
lengths that are no such end the process or never end; run lengths that do not fill their size give
pixels of whatever lay in memory.
"""

from __future__ import annotations

from typing import Any

FARTHEST = 2**16  # pixels from the origin; pycocotools walks along edges, a fifth of a pixel a step
MAX_PIXELS = 2**30  # as OpenCV reads images
MAX_SHIFT = 60  # bits of a compressed number; the largest that are sound have 32


def check_mask(mask: Any) -> None:
    """Hold a `segmentation` against COCO's format.

    Polygons of odd or fewer than 6 numbers pass, as mmdet leaves them out.

    Raises:
        ValueError: What is wrong, in words that do not depend on the numbers.
    """
    if isinstance(mask, list) and mask and all(isinstance(polygon, list) for polygon in mask):
        _check_polygons(mask)
    elif isinstance(mask, dict) and {'size', 'counts'} <= set(mask):
        _check_run_lengths(mask['size'], mask['counts'])
    else:
        raise ValueError('segmentation that is neither polygons nor run lengths')


def check_masks(dataset: Any, index: Any) -> None:
    """Check the masks of a sample of mmdet, if the data set's pipeline decodes masks.

    Raises:
        ValueError: See `check_mask`.
    """
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    if any(getattr(step, 'with_mask', False) for step in steps):
        for instance in dataset.get_data_info(index).get('instances', ()):
            check_mask(instance.get('mask'))


def _check_polygons(polygons: list[list]) -> None:
    try:
        near = all(-FARTHEST <= c <= FARTHEST for polygon in polygons for c in polygon)
    except TypeError:
        near = False
    if not near:
        raise ValueError(f'polygon with a coordinate that is no number within {FARTHEST} pixels')


def _check_run_lengths(size: Any, counts: Any) -> None:
    is_size = isinstance(size, list) and len(size) == 2
    if not is_size or not all(isinstance(n, int) and n >= 1 for n in size):
        raise ValueError('run lengths whose size is not two whole numbers of pixels')
    if isinstance(counts, str):
        counts = decode_rle(counts)
    try:
        whole = all(c >= 0 and c % 1 == 0 for c in counts)
    except TypeError:
        whole = False
    pixels = size[0] * size[1]
    if not whole or pixels > MAX_PIXELS or sum(counts) != pixels:
        raise ValueError('run lengths that are not whole numbers which fill their size')


def decode_rle(text: str) -> list[int]:
    """The numbers of compressed run lengths (`rleFrString` in pycocotools' maskApi.c).

    The lowest five bits of a character are a digit, the sixth says that more follow. From the
    fourth on, a number is the difference to the one two before it.

    Raises:
        ValueError: It is no such text.
    """
    counts: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > MAX_SHIFT:
            raise ValueError('run lengths whose text cannot be read')
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= bool(bits & 16) << shift  # the sign
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = shift = 0
    if shift:
        raise ValueError('run lengths whose text cannot be read')
    return counts
