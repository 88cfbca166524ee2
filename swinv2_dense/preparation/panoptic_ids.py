"""The ids of segments in panoptic PNGs of COCO's format."""

from __future__ import annotations

import numpy as np


def segment_ids(rgb: np.ndarray) -> np.ndarray:
    """RGB pixels (H, W, 3) -> segment ids (H, W), R + 256 G + 65536 B; 0 is no segment."""
    return rgb.astype(np.int64) @ np.array([1, 256, 65536])


def as_rgb(ids: np.ndarray) -> np.ndarray:
    """Inverse of `segment_ids`, uint8."""
    return np.stack([ids >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
