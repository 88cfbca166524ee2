"""InstaBoost (arXiv 1908.07801) for RLE masks, and without broken samples."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from mmdet.datasets.transforms import InstaBoost
from mmdet.registry import TRANSFORMS
from pycocotools import mask as mask_api


@TRANSFORMS.register_module()
class RunLengthInstaBoost(InstaBoost):
    """mmdet's `InstaBoost`, which also moves objects with RLE masks.

    Takes the arguments and the place of `InstaBoost` in a pipeline: after the image is loaded and
    before the annotations are. Polygons are treated as there. RLE, compressed or not, stays RLE and
    keeps its holes; `LoadAnnotations` needs `poly2mask=True`, its default, to read it.
    instaboostfast supports neither kind: it decodes RLE to the wrong rank, and rejects compressed
    RLE when it moves masks.

    If instaboostfast fails, the sample is returned unchanged, with one warning per process;
    instaboostfast does the same for errors that it expects. Crowds are not moved. Neither is the
    semantic map, as in every public HTC++: below a moved object it shows the original scene.

    Raises:
        ValueError: An object has no mask.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.has_warned = False

    def transform(self, results: dict) -> dict:
        if any('mask' not in instance for instance in results.get('instances', [])):
            raise ValueError(
                f'{results.get("img_path")}: RunLengthInstaBoost needs masks ("segmentation" in '
                'COCO format), and an object has none; remove it from pipelines without masks'
            )
        try:
            return super().transform(results)  # edits `results` at its end only
        except Exception as error:
            if not self.has_warned:
                warnings.warn(
                    f'InstaBoost failed on {results.get("img_path")}; it is used unchanged, and so '
                    f'are later failures: {type(error).__name__}: {error}',
                    stacklevel=2,
                )
                self.has_warned = True
            return results

    def _load_anns(self, results: dict) -> tuple[list, list]:
        height, width = results['img'].shape[:2]
        anns, ignored = super()._load_anns(results)
        for ann in anns:
            # instaboostfast crops the image with the box; a negative index gives an empty crop.
            x, y, w, h = ann['bbox']
            left, top = max(x, 0), max(y, 0)
            ann['bbox'] = [left, top, min(x + w, width) - left, min(y + h, height) - top]
            if isinstance(ann['segmentation'], dict):
                ann['rle'] = ann['segmentation']
                # In a list, in place of polygons, it accepts uncompressed RLE.
                ann['segmentation'] = [uncompressed(ann['segmentation'])]
        return anns, ignored

    def _parse_anns(self, results: dict, anns: list, ignored: list, img: np.ndarray) -> dict:
        for ann in anns:
            if 'rle' not in ann:
                continue
            if isinstance(ann['segmentation'][0], dict):  # not moved
                ann['segmentation'] = ann['rle']
            else:
                rle = fill_contours(ann['segmentation'], *img.shape[:2])
                ann['bbox'] = mask_api.toBbox(rle).tolist()
                ann['segmentation'] = dict(size=rle['size'], counts=rle['counts'].decode('ascii'))
        return super()._parse_anns(results, anns, ignored, img)


def uncompressed(rle: dict) -> dict:
    """RLE with a list of counts, which starts with the number of zeros."""
    if isinstance(rle['counts'], list):
        return rle
    pixels = mask_api.decode(rle).ravel(order='F')
    changes = np.flatnonzero(np.diff(pixels, prepend=np.uint8(0)))
    counts = np.diff(changes, prepend=0, append=pixels.size)
    return dict(size=list(rle['size']), counts=counts.tolist())


def fill_contours(contours: list[list[float]], height: int, width: int) -> dict:
    """Compressed RLE of the mask whose contours instaboostfast traced.

    Its contours [x, y, x, y, ...] pass half a pixel outside pixel centers at integer coordinates,
    with -0.5 clipped to 0; holes have contours of their own. In COCO's polygons pixel centers are
    at half-integers.
    """
    polygons = [[c + 0.5 if c else 0.0 for c in contour] for contour in contours]
    mask = np.zeros((height, width), np.uint8, order='F')
    for part in mask_api.frPyObjects(polygons, height, width):
        mask ^= mask_api.decode(part)
    return mask_api.encode(mask)
