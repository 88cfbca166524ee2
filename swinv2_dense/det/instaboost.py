"""InstaBoost (arXiv 1908.07801) for every data set: masks as run lengths, and no broken sample."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from mmdet.datasets.transforms import InstaBoost
from mmdet.registry import TRANSFORMS
from pycocotools import mask as mask_api


@TRANSFORMS.register_module()
class RunLengthInstaBoost(InstaBoost):
    """mmdet's `InstaBoost`, which also moves objects whose masks are run lengths.

    Takes the arguments of `InstaBoost` and stands where it stands: after the image and before the
    annotations are loaded. Polygons become what they become there. Run lengths, compressed or not,
    stay run lengths and keep their holes; `LoadAnnotations` needs `poly2mask=True`, its default,
    to read them. instaboostfast takes neither kind: it decodes them to the wrong rank, and refuses
    compressed ones where it moves masks.

    A sample that instaboostfast fails on is returned as it came, with one warning per process:
    instaboostfast itself does so with the errors that it knows. Crowds stay where they are. The
    semantic map is not moved, as in every public HTC++: below a moved object it shows the scene
    as it was.

    Raises:
        ValueError: An object has no mask.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.has_warned = False

    def transform(self, results: dict) -> dict:
        if any('mask' not in instance for instance in results.get('instances', [])):
            raise ValueError(
                f'{results.get("img_path")}: RunLengthInstaBoost met an object without a mask '
                '("segmentation" in COCO format); take it out of the pipeline of data without masks'
            )
        try:
            return super().transform(results)  # which edits them last
        except Exception as error:
            if not self.has_warned:
                warnings.warn(
                    f'InstaBoost failed on {results.get("img_path")}, which is used unedited, as '
                    f'later ones will be: {type(error).__name__}: {error}',
                    stacklevel=2,
                )
                self.has_warned = True
            return results

    def _load_anns(self, results: dict) -> tuple[list, list]:
        height, width = results['img'].shape[:2]
        anns, ignored = super()._load_anns(results)
        for ann in anns:
            # instaboostfast crops the image with the box; a negative index would crop nothing.
            x, y, w, h = ann['bbox']
            left, top = max(x, 0), max(y, 0)
            ann['bbox'] = [left, top, min(x + w, width) - left, min(y + h, height) - top]
            if isinstance(ann['segmentation'], dict):
                ann['run_lengths'] = ann['segmentation']
                # In a list, where it looks for polygons, it takes uncompressed run lengths too.
                ann['segmentation'] = [uncompressed(ann['segmentation'])]
        return anns, ignored

    def _parse_anns(self, results: dict, anns: list, ignored: list, img: np.ndarray) -> dict:
        for ann in anns:
            if 'run_lengths' not in ann:
                continue
            if isinstance(ann['segmentation'][0], dict):  # not moved
                ann['segmentation'] = ann['run_lengths']
            else:
                rle = fill_contours(ann['segmentation'], *img.shape[:2])
                ann['bbox'] = mask_api.toBbox(rle).tolist()
                ann['segmentation'] = dict(size=rle['size'], counts=rle['counts'].decode('ascii'))
        return super()._parse_anns(results, anns, ignored, img)


def uncompressed(rle: dict) -> dict:
    """COCO's run lengths of a mask as numbers, the first of zeros."""
    if isinstance(rle['counts'], list):
        return rle
    pixels = mask_api.decode(rle).ravel(order='F')
    changes = np.flatnonzero(np.diff(pixels, prepend=np.uint8(0)))
    counts = np.diff(changes, prepend=0, append=pixels.size)
    return dict(size=list(rle['size']), counts=counts.tolist())


def fill_contours(contours: list[list[float]], height: int, width: int) -> dict:
    """Compressed run lengths of the mask whose contours instaboostfast traced.

    Its contours [x, y, x, y, ...] run half a pixel around the centres of pixels at whole numbers,
    holes have their own, and -0.5 was cut to 0. In COCO's polygons a pixel's centre lies at a half.
    """
    polygons = [[c + 0.5 if c else 0.0 for c in contour] for contour in contours]
    mask = np.zeros((height, width), np.uint8, order='F')
    for part in mask_api.frPyObjects(polygons, height, width):
        mask ^= mask_api.decode(part)
    return mask_api.encode(mask)
