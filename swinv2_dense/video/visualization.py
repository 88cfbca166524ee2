"""Pictures of recognized clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmaction.registry import VISUALIZERS
from mmaction.structures import ActionDataSample
from mmaction.visualization import ActionVisualizer

from ..drawing.clips import clip_sheet
from ..drawing.sheet import displayable
from ..drawing.visualizer import PictureVisualizer


@VISUALIZERS.register_module()
class ClipVisualizer(PictureVisualizer, ActionVisualizer):
    """mmaction2's `ActionVisualizer` with one picture per clip: frames below name, truth,
    prediction and score. Takes its arguments.
    """

    def picture(
        self,
        image: Sequence[np.ndarray],
        data_sample: ActionDataSample | None,
        caption: str = '',
        draw_gt: bool = True,
        draw_pred: bool = True,
        **kwargs: Any,
    ) -> np.ndarray | None:
        """Frames (H, W, 3) RGB, and what the sample says of them."""
        truth = label_names(data_sample, self.style.name) if draw_gt else []
        scores = data_sample.get('pred_score') if draw_pred and data_sample is not None else None
        found: tuple = ()
        if scores is not None:
            label = int(scores.argmax())
            found = self.style.name(label), float(scores[label])
        return clip_sheet([displayable(frame) for frame in image], caption, truth, *found)


def label_names(data_sample: ActionDataSample | None, name: Callable[[int], str]) -> list[str]:
    """Names of the true classes of a sample; none if it has no label."""
    labels = data_sample.get('gt_label') if data_sample is not None else None
    return [] if labels is None else [name(int(label)) for label in labels.reshape(-1)]
