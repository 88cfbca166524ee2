"""Check masks in COCO format before pycocotools decodes them.

pycocotools 2.0.11 does not validate its input. Polygons with nan or far coordinates and invalid RLE
crash the process or hang it; RLE that does not fill its size yields uninitialized memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FARTHEST = 2**16  # pixels from the origin; pycocotools walks along edges, a fifth of a pixel a step
MAX_PIXELS = 2**30  # as OpenCV reads images
MAX_CHARACTERS = 7  # of a compressed number: 5 bits each, and valid ones have at most 32
UNREADABLE = 'RLE whose counts cannot be decoded'


def check_mask(mask: Any) -> None:
    """Check a `segmentation` against COCO's format.

    Polygons of odd or fewer than 6 numbers pass, because mmdet skips them.

    Raises:
        ValueError: What is wrong, in words that do not depend on the numbers.
    """
    if isinstance(mask, list) and mask and all(isinstance(polygon, list) for polygon in mask):
        _check_polygons(mask)
    elif isinstance(mask, dict) and {'size', 'counts'} <= set(mask):
        _check_rle(mask['size'], mask['counts'])
    else:
        raise ValueError('segmentation that is neither polygons nor RLE')


def check_masks(dataset: Any, index: Any) -> None:
    """Check the masks of a sample of mmdet, if the dataset's pipeline decodes masks.

    Raises:
        ValueError: See `check_mask`.
    """
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    if any(getattr(step, 'with_mask', False) for step in steps):
        info = dataset.get_data_info(index)
        if 'segments_info' in info:  # masks are in a panoptic map
            return
        for instance in info.get('instances', ()):
            check_mask(instance.get('mask'))


def _check_polygons(polygons: list[list]) -> None:
    try:
        near = all(-FARTHEST <= c <= FARTHEST for polygon in polygons for c in polygon)
    except TypeError:
        near = False
    if not near:
        raise ValueError(f'polygon with a coordinate that is not a number within {FARTHEST} pixels')


def _check_rle(size: Any, counts: Any) -> None:
    is_size = isinstance(size, list) and len(size) == 2
    if not is_size or not all(isinstance(n, int) and n >= 1 for n in size):
        raise ValueError('RLE whose size is not two positive integers')
    if isinstance(counts, str):
        counts = decode_rle(counts)
    try:
        whole = all(c >= 0 and c % 1 == 0 for c in counts)
    except TypeError:
        whole = False
    pixels = size[0] * size[1]
    if not whole or pixels > MAX_PIXELS or sum(counts) != pixels:
        raise ValueError('RLE whose counts are not integers that sum up to its size')


def decode_rle(text: str) -> list[int]:
    """The counts in a string of compressed RLE (`rleFrString` in pycocotools' maskApi.c).

    pycocotools decodes to pixels only, and unchecked. The lower five bits of a character are a
    digit, lowest digits first; the sixth says that more follow. From the fourth on, a number is the
    difference to the one two before it.

    Raises:
        ValueError: It is not such a string.
    """
    codes = np.frombuffer(text.encode('utf-8', 'surrogatepass'), np.uint8).astype(np.int64) - 48
    if not len(codes):
        return []
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError(UNREADABLE)
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    if lengths.max() > MAX_CHARACTERS:
        raise ValueError(UNREADABLE)
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    counts = np.add.reduceat((codes & 31) << (5 * places), starts)
    counts -= (codes[ends] >> 4 & 1) << (5 * lengths)  # sign
    for first in (1, 2):
        counts[first::2] = counts[first::2].cumsum()
    return counts.tolist()
