"""Visualization of classified images."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.registry import VISUALIZERS
from mmengine.visualization import Visualizer

from ..drawing.clips import clip_sheet
from ..drawing.sheet import displayable, packed_image
from ..drawing.style import Style
from ..drawing.visualizer import PictureVisualizer
from .samples import ClassificationSample


@VISUALIZERS.register_module()
class ClassificationVisualizer(PictureVisualizer, Visualizer):
    """The image below its name, true class, and predicted class with its score.

    A wrong prediction is red. Takes the arguments of mmengine's `Visualizer`.
    """

    def picture(
        self,
        image: np.ndarray,
        data_sample: ClassificationSample | None,
        caption: str = '',
        draw_gt: bool = True,
        draw_pred: bool = True,
        **kwargs: Any,
    ) -> np.ndarray | None:
        """An RGB image (H, W, 3) with truth and prediction of its sample."""
        truth = true_classes(data_sample, self.style) if draw_gt else []
        scores = data_sample.get('pred_score') if draw_pred and data_sample is not None else None
        found: tuple = ()
        if scores is not None:
            label = int(scores.argmax())
            found = self.style.name(label), float(scores[label])
        return clip_sheet([displayable(image)], caption, truth, *found)


def true_classes(data_sample: ClassificationSample | None, style: Style) -> list[str]:
    """The name of the true class of a sample; none if it has no label."""
    label = data_sample.get('gt_label') if data_sample is not None else None
    return [] if label is None else [style.name(int(label))]


def draw_sample(sample: dict, metainfo: dict, caption: str) -> np.ndarray:
    """The image as the model gets it, below its name and class."""
    truth = true_classes(sample['data_samples'], Style.of(metainfo))
    return clip_sheet([packed_image(sample)], caption, truth)
