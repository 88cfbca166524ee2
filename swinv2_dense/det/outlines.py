"""Outlines of masks."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_masks

Points = list[list[float]]  # x, y in pixels


def outlines(segmentation: Any, tolerance: float = 0.0) -> list[Points]:
    """The outer outlines of an object, largest first; those of fewer than three points are dropped.

    Args:
        segmentation: An RLE, whose holes are filled, or COCO polygons, or None.
        tolerance: Largest distance in pixels between an outline and its simplification.
    """
    if not segmentation:
        return []
    if isinstance(segmentation, list):
        found = [np.asarray(part, np.float32).reshape(-1, 1, 2) for part in segmentation]
    else:
        if isinstance(segmentation['counts'], list):
            segmentation = coco_masks.frPyObjects(segmentation, *segmentation['size'])
        pixels = coco_masks.decode(segmentation)
        found, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        # OpenCV counts pixels; in coordinates of an image, their centers are at half-integers.
        found = [part.astype(np.float32) + 0.5 for part in found]
    found = sorted(found, key=cv2.contourArea, reverse=True)
    if tolerance:
        found = [cv2.approxPolyDP(part, tolerance, True) for part in found]
    return [part[:, 0].astype(float).tolist() for part in found if len(part) >= 3]
