"""COCO's run-length encoding of masks."""

from __future__ import annotations

import numpy as np

from .found import Box


def encode_rle(mask: np.ndarray) -> dict:
    """Uncompressed RLE of a mask (H, W): lengths of runs down the columns, of 0 first."""
    flat = mask.T.ravel().astype(bool)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [len(flat)]])).tolist()
    return dict(size=[*map(int, mask.shape)], counts=[0, *counts] if flat[0] else counts)


def box_rle(box: Box, size: tuple[int, int]) -> dict:
    """The pixels of a box in an image of `size` (width, height); at least one."""
    x, y, w, h = box
    mask = np.zeros(size[::-1], bool)
    mask[int(y) : max(int(y) + 1, round(y + h)), int(x) : max(int(x) + 1, round(x + w))] = True
    return encode_rle(mask)
