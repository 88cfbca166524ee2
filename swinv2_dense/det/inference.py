"""Inference on files with mmdet."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.apis import DetInferencer
from mmdet.structures import DetDataSample

from ..inference.base import ImageInferencer
from .large_masks import crop_large_masks
from .slices import SlicedDetector


class DetectionInferencer(ImageInferencer, DetInferencer):
    """Predicts boxes, and masks if the model has them, with scores of at least `score_thr`."""

    score_thr = 0.3

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.model, SlicedDetector):
            self.model.encode = False
        else:
            crop_large_masks(getattr(self.model, 'module', self.model))

    def run(self, prepared: list[dict[str, Any]]) -> list[DetDataSample]:
        samples = super().run(prepared)
        for sample in samples:
            found = sample.pred_instances
            sample.pred_instances = found[found.scores >= self.score_thr]
        return samples

    def describe(self, sample: DetDataSample) -> dict[str, Any]:
        """mmdet's dict, sorted by score, and `names` of the labels.

        `labels`, `scores`, `bboxes` (x1, y1, x2, y2 in pixels) and `masks` (COCO's RLE).
        """
        found = self.pred2dict(sample)
        return dict(names=[self.name(label) for label in found['labels']], **found)

    def plain(self, sample: DetDataSample) -> dict[str, Any]:
        found = sample.pred_instances.to('cpu')
        found = found[found.scores.argsort(descending=True, stable=True)]
        labels = found.labels.numpy()
        return dict(
            boxes=found.bboxes.numpy(),
            scores=found.scores.numpy(),
            labels=labels,
            names=[self.name(int(label)) for label in labels],
            masks=np.asarray(found.masks).astype(bool) if 'masks' in found else None,
        )

    def draw(self, image: np.ndarray, sample: DetDataSample, caption: str) -> np.ndarray:
        return self.visualizer.picture(
            image, sample, caption, draw_gt=False, pred_score_thr=self.score_thr
        )

    def draw_frame(self, image: np.ndarray, sample: DetDataSample) -> np.ndarray:
        return self.visualizer.frame(image, sample, self.score_thr)
