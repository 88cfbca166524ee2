"""Inference on files with mmseg."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmseg.apis import MMSegInferencer
from mmseg.structures import SegDataSample
from PIL import Image

from ..inference.base import ImageInferencer
from ..inference.outputs import Outputs


class SegmentationInferencer(ImageInferencer, MMSegInferencer):
    """Predicts a label for each pixel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.visualizer.dataset_meta = self.model.dataset_meta

    def describe(self, sample: SegDataSample) -> dict[str, Any]:
        """The classes that occur, largest first: `label`, `name` and number of `pixels`."""
        pixels = np.bincount(_labels(sample).ravel())
        order = [int(label) for label in np.argsort(-pixels, kind='stable') if pixels[label]]
        areas = [dict(label=i, name=self.name(i), pixels=int(pixels[i])) for i in order]
        return dict(areas=areas)

    def plain(self, sample: SegDataSample) -> dict[str, Any]:
        return dict(label_map=_labels(sample), names=tuple(self.model.dataset_meta['classes']))

    def write_maps(self, sample: SegDataSample, outputs: Outputs, part: str = '') -> None:
        """Write the labels as a PNG of one channel, with 16 bits if there are over 256 classes."""
        dtype = np.uint8 if len(self.model.dataset_meta['classes']) <= 256 else np.uint16
        with outputs.replacing('label_maps', '.png', part) as draft:
            Image.fromarray(_labels(sample).astype(dtype)).save(draft)

    def draw(self, image: np.ndarray, sample: SegDataSample, caption: str) -> np.ndarray:
        return self.visualizer.picture(image, sample, caption, draw_gt=False)

    def draw_frame(self, image: np.ndarray, sample: SegDataSample) -> np.ndarray:
        """With names on the regions; the size of a legend would change between frames."""
        return self.visualizer.frame(image, sample)


def _labels(sample: SegDataSample) -> np.ndarray:
    """(H, W) labels."""
    return sample.pred_sem_seg.data[0].cpu().numpy()
