"""Visualization of segmented images, with a legend."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from ..drawing.regions import ALPHA, label_regions, segmentation_sheet, tint_labels
from ..drawing.sheet import displayable, enlarged, enlargement, packed_image
from ..drawing.style import Style
from ..drawing.visualizer import PictureVisualizer

PANELS = {'gt_sem_seg': 'truth', 'pred_sem_seg': 'prediction'}


@VISUALIZERS.register_module()
class LegendSegVisualizer(PictureVisualizer, SegLocalVisualizer):
    """mmseg's `SegLocalVisualizer` with a legend instead of names on the regions.

    Shows truth and prediction side by side in the dataset's palette, and a legend of classes with
    their share of the pixels, largest first. Pixels without a class (the ignore index) are striped.
    Takes the arguments of `SegLocalVisualizer`, which draws samples without segmentation.
    """

    def __init__(self, name: str = 'visualizer', alpha: float = ALPHA, **kwargs: Any) -> None:
        super().__init__(name, alpha=alpha, **kwargs)

    def picture(
        self,
        image: np.ndarray,
        data_sample: SegDataSample | None,
        caption: str = '',
        draw_gt: bool = True,
        draw_pred: bool = True,
        **kwargs: Any,
    ) -> np.ndarray | None:
        """Panels for the label maps of an RGB image (H, W, 3), and their legend."""
        image = displayable(image)
        wanted = dict(gt_sem_seg=draw_gt, pred_sem_seg=draw_pred)
        panels = {
            title: _labels(data_sample, key, image)
            for key, title in PANELS.items()
            if wanted[key] and data_sample is not None and key in data_sample
        }
        if not panels:
            return None
        return segmentation_sheet(image, panels, self.style, caption, self.alpha)

    def frame(self, image: np.ndarray, data_sample: SegDataSample) -> np.ndarray:
        """An RGB frame with names on its regions, enlarged if small, without a legend."""
        image = displayable(image)
        factor = enlargement(*image.shape[:2])
        drawn = np.array(enlarged(image, factor))
        labels = _labels(data_sample, 'pred_sem_seg', image)
        tint_labels(drawn, labels, self.style, factor, self.alpha)
        label_regions(drawn, labels, self.style)
        return drawn


def _labels(data_sample: SegDataSample, key: str, image: np.ndarray) -> np.ndarray:
    """(H, W) labels at the size of the image; pipelines may load them before resizing."""
    labels = getattr(data_sample, key).data.cpu().numpy()
    labels = labels.reshape(labels.shape[-2:])
    if labels.shape == image.shape[:2]:
        return labels
    size = image.shape[1], image.shape[0]
    return cv2.resize(labels.astype(np.int32), size, interpolation=cv2.INTER_NEAREST_EXACT)


def draw_sample(sample: dict, metainfo: dict, caption: str) -> np.ndarray:
    """The image, and its label map with a legend."""
    image, data = packed_image(sample), sample['data_samples']
    maps = {'truth': data.gt_sem_seg.data[0].numpy()} if 'gt_sem_seg' in data else {}
    return segmentation_sheet(image, maps, Style.of(metainfo), caption, with_image=True)
