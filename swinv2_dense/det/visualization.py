"""Visualization of detected objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer

from ..drawing.objects import ALPHA, Objects, detection_sheet, draw_objects
from ..drawing.regions import IGNORE_INDEX, label_regions, tint_labels
from ..drawing.sheet import displayable, enlarged, enlargement, packed_image, sheet
from ..drawing.style import Style
from ..drawing.visualizer import PictureVisualizer
from .panoptic.segments import panoptic_objects


@VISUALIZERS.register_module()
class ClassColorDetVisualizer(PictureVisualizer, DetLocalVisualizer):
    """mmdet's `DetLocalVisualizer` with truth and prediction side by side, colored by class.

    Takes its arguments. `alpha` is the opacity of the masks; colors and line widths depend on the
    classes and the image size. Of panoptic predictions, the segments are drawn.
    """

    def __init__(self, name: str = 'visualizer', alpha: float = ALPHA, **kwargs: Any) -> None:
        super().__init__(name, alpha=alpha, **kwargs)

    def picture(
        self,
        image: np.ndarray,
        data_sample: DetDataSample | None,
        caption: str = '',
        draw_gt: bool = True,
        draw_pred: bool = True,
        pred_score_thr: float = 0.3,
        **kwargs: Any,
    ) -> np.ndarray | None:
        """Panels for the objects of an RGB image (H, W, 3); low-scoring predictions are omitted."""
        image = displayable(image)
        panels, ignored = {}, {}
        if draw_gt and 'labels' in (truth := _instances(data_sample, 'gt_instances')):
            panels['truth'] = Objects.of(_at_size_of(image, truth))
            crowds = _instances(data_sample, 'ignored_instances')
            if 'labels' in crowds:
                ignored['truth'] = Objects.of(_at_size_of(image, crowds))
        found = self._found(data_sample, pred_score_thr) if draw_pred else None
        if found is not None:
            panels['prediction'] = found
        if not panels:
            return None
        return detection_sheet(image, panels, self.style, caption, ignored, self.alpha)

    def frame(self, image: np.ndarray, data_sample: DetDataSample, score_thr: float) -> np.ndarray:
        """An RGB frame with its predicted objects, enlarged if small, without a caption."""
        factor = enlargement(*image.shape[:2])
        drawn = np.array(enlarged(displayable(image), factor))
        objects = self._found(data_sample, score_thr)
        draw_objects(drawn, objects, self.style, factor, self.alpha)
        return drawn

    def _found(self, data_sample: DetDataSample | None, score_thr: float) -> Objects | None:
        """Predicted segments, or else objects with at least this score."""
        if data_sample is not None and 'pred_panoptic_seg' in data_sample:
            return panoptic_objects(data_sample.pred_panoptic_seg, len(self.style.names))
        found = _instances(data_sample, 'pred_instances')
        return Objects.of(found).above(score_thr) if 'labels' in found else None


def _instances(data_sample: DetDataSample | None, key: str) -> Any:
    return getattr(data_sample, key, {}) if data_sample is not None else {}


def _at_size_of(image: np.ndarray, instances: Any) -> Any:
    """Ground truth at the size of the original image, scaled back if the pipeline resized it."""
    masks = instances.get('masks')
    size = (getattr(masks, 'height', None), getattr(masks, 'width', None))
    if masks is None or size == image.shape[:2]:
        return instances
    scaled = instances.clone()
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    scale = [image.shape[1] / size[1], image.shape[0] / size[0]]
    scaled.bboxes = boxes * boxes.new_tensor(scale * 2)
    scaled.masks = masks.resize(image.shape[:2])
    return scaled


def draw_sample(sample: dict, metainfo: dict, caption: str) -> np.ndarray:
    """The image with boxes, masks and class names, next to its semantic map.

    The labels of a panoptic dataset are those of its classes; those of other maps have no names.
    """
    image, data = packed_image(sample), sample['data_samples']
    factor = enlargement(*image.shape[:2])
    titles = ['truth', 'semantic map'] if 'gt_sem_seg' in data else ['truth']
    picture, views = sheet(image, titles, caption, factor)
    objects, ignored = (
        Objects.of(found) if len(found) else None
        for found in (data.gt_instances, data.ignored_instances)
    )
    draw_objects(views[0], objects, Style.of(metainfo), factor, ignored=ignored)
    if 'gt_sem_seg' in data:
        labels = data.gt_sem_seg.sem_seg[0].numpy()
        style = Style([str(label) for label in range(IGNORE_INDEX)])
        if 'stuff_classes' in metainfo:
            style = Style.of(metainfo)
        tint_labels(views[1], labels, style, factor)
        label_regions(views[1], labels, style)
    return picture
