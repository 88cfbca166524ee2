"""Inference on files with mmdet."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.apis import DetInferencer
from mmdet.structures import DetDataSample
from PIL import Image

from ..inference.base import ImageInferencer
from ..inference.outputs import Outputs
from ..preparation.panoptic_ids import as_rgb
from .large_masks import crop_large_masks
from .panoptic.segments import found_segments


class DetectionInferencer(ImageInferencer, DetInferencer):
    """Predicts boxes, masks and segments, as the model has them, from `score_thr` on."""

    score_thr = 0.3

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        crop_large_masks(self.model)

    def predict(self, source: Any) -> DetDataSample:
        sample = super().predict(source)
        if 'pred_instances' in sample:
            found = sample.pred_instances
            sample.pred_instances = found[found.scores >= self.score_thr]
        return sample

    def describe(self, sample: DetDataSample) -> dict[str, Any]:
        """mmdet's dict, sorted by score, and `names` of the labels.

        `labels`, `scores`, `bboxes` (x1, y1, x2, y2 in pixels) and `masks` (COCO's RLE). With a
        panoptic model, `segments`, the largest first: `id` in the map, `label`, `name`, `pixels`.
        """
        segments = {}
        if 'pred_panoptic_seg' in sample:
            segments = dict(segments=self._segments(sample))
            sample = sample.clone()
            del sample.pred_panoptic_seg  # which mmdet describes with panopticapi
        found = self.pred2dict(sample) if 'pred_instances' in sample else dict(labels=[])
        return dict(names=[self.name(label) for label in found['labels']], **found, **segments)

    def _segments(self, sample: DetDataSample) -> list[dict[str, Any]]:
        ids, labels = self._panoptic(sample)
        return [
            dict(id=i, label=label, name=self.name(label), pixels=int((ids == i).sum()))
            for i, label in labels.items()
        ]

    def _panoptic(self, sample: DetDataSample) -> tuple[np.ndarray, dict[int, int]]:
        return found_segments(sample.pred_panoptic_seg, len(self.model.dataset_meta['classes']))

    def write_maps(self, sample: DetDataSample, outputs: Outputs, part: str = '') -> None:
        """Write the ids of panoptic segments as a PNG like COCO's: R + 256 G + 65536 B."""
        if 'pred_panoptic_seg' in sample:
            with outputs.replacing('label_maps', '.png', part) as draft:
                Image.fromarray(as_rgb(self._panoptic(sample)[0])).save(draft)

    def draw(self, image: np.ndarray, sample: DetDataSample, caption: str) -> np.ndarray:
        return self.visualizer.picture(
            image, sample, caption, draw_gt=False, pred_score_thr=self.score_thr
        )

    def draw_frame(self, image: np.ndarray, sample: DetDataSample) -> np.ndarray:
        return self.visualizer.frame(image, sample, self.score_thr)
