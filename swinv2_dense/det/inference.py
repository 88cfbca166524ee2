"""Inference on files with mmdet."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.apis import DetInferencer
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from PIL import Image

from ..inference.base import ImageInferencer
from ..inference.outputs import Outputs
from ..preparation.panoptic_ids import as_rgb
from .large_masks import crop_large_masks
from .panoptic.segments import found_segments
from .slices import SlicedDetector


class DetectionInferencer(ImageInferencer, DetInferencer):
    """Predicts boxes, masks and segments, as the model has them, from `score_thr` on."""

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
            if 'pred_instances' in sample:
                found = sample.pred_instances
                sample.pred_instances = found[found.scores >= self.score_thr]
        return samples

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

    def plain(self, sample: DetDataSample) -> dict[str, Any]:
        arrays: dict[str, Any] = {}
        if 'pred_instances' in sample:
            arrays.update(self._plain_objects(sample.pred_instances.to('cpu')))
        if 'pred_panoptic_seg' in sample:
            arrays.update(segment_map=self._panoptic(sample)[0], segments=self._segments(sample))
        return arrays

    def _plain_objects(self, found: InstanceData) -> dict[str, Any]:
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
