"""Outlines of masks enclose what the masks cover."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as coco_masks
from random_detections import random_detections

from swinv2_dense.det.outlines import outlines


def filled(segmentation: dict, tolerance: float = 0.0) -> np.ndarray:
    drawn = np.zeros(segmentation['size'], np.uint8)
    for outline in outlines(segmentation, tolerance):
        cv2.fillPoly(drawn, [np.floor(outline).astype(int)], 1)  # centers of pixels to pixels
    return drawn


def test_masks_without_holes_are_enclosed_exactly():
    truth, _ = random_detections(0, images=2)
    for item in truth['annotations']:
        np.testing.assert_array_equal(
            filled(item['segmentation']), coco_masks.decode(item['segmentation'])
        )


def test_simplified_outlines_are_close():
    truth, _ = random_detections(1, images=2)
    for item in truth['annotations']:
        exact = coco_masks.decode(item['segmentation'])
        points = [
            sum(map(len, outlines(item['segmentation'], tolerance))) for tolerance in (0.0, 2.0)
        ]
        assert points[1] < points[0]
        assert (filled(item['segmentation'], 2.0) != exact).mean() < 0.01


def test_holes_are_filled_and_the_largest_part_comes_first():
    pixels = np.zeros((40, 50), np.uint8)
    pixels[30:34, 2:6] = 1
    pixels[5:25, 10:40] = 1
    pixels[10:20, 20:30] = 0  # a hole
    first, second = outlines(coco_masks.encode(np.asfortranarray(pixels)))
    assert np.min(first, axis=0).tolist() == [10.5, 5.5]
    assert np.max(first, axis=0).tolist() == [39.5, 24.5]
    assert np.min(second, axis=0).tolist() == [2.5, 30.5]


def test_polygons_and_uncompressed_masks():
    square = [2.0, 3.0, 8.0, 3.0, 8.0, 9.0, 2.0, 9.0]
    assert outlines([[0.0, 0.0, 1.0, 1.0], square]) == [
        [[2.0, 3.0], [8.0, 3.0], [8.0, 9.0], [2.0, 9.0]]
    ]
    assert outlines(None) == []
    uncompressed = dict(size=[3, 4], counts=[3, 6, 3])  # columns 1 and 2
    assert sorted(outlines(uncompressed)[0])[0] == [1.5, 0.5]
