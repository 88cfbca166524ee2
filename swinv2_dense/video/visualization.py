"""Visualization of recognized clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from mmaction.registry import VISUALIZERS
from mmaction.structures import ActionDataSample
from mmaction.visualization import ActionVisualizer

from ..config_parts import as_list, type_name
from ..drawing.clips import clip_sheet, evenly, frames_of
from ..drawing.sheet import displayable
from ..drawing.style import Style
from ..drawing.visualizer import PictureVisualizer

NAMES = ('filename', 'frame_dir')  # keys in the results of mmaction2's pipelines


@VISUALIZERS.register_module()
class ClipVisualizer(PictureVisualizer, ActionVisualizer):
    """mmaction2's `ActionVisualizer` with one picture per clip; takes its arguments.

    Frames are shown below name, truth, prediction and score.
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
        """Frames (H, W, 3) RGB, with truth and prediction of their sample."""
        truth = label_names(data_sample, self.style.name) if draw_gt else []
        scores = data_sample.get('pred_score') if draw_pred and data_sample is not None else None
        found: tuple = ()
        if scores is not None:
            label = int(scores.argmax())
            found = self.style.name(label), float(scores[label])
        return clip_sheet([displayable(frame) for frame in image], caption, truth, *found)


def label_names(data_sample: ActionDataSample | None, name: Callable[[int], str]) -> list[str]:
    """Names of the true classes of a sample; empty if it has no label."""
    labels = data_sample.get('gt_label') if data_sample is not None else None
    return [] if labels is None else [name(int(label)) for label in labels.reshape(-1)]


def draw_sample(sample: dict, metainfo: dict, caption: str) -> np.ndarray:
    """Frames of the view in the middle, from the first to the last."""
    style, labels = Style.of(metainfo), getattr(sample['data_samples'], 'gt_label', None)
    truth = [] if labels is None else [style.name(int(label)) for label in labels.reshape(-1)]
    frames = frames_of(sample['inputs'])
    return clip_sheet([displayable(frames[i]) for i in evenly(len(frames))], caption, truth)


def keep_file_names(pipeline: Iterable[Any]) -> None:
    """Make a pipeline keep the file name of a clip, which mmaction2 drops."""
    for step in pipeline:
        if type_name(step) == 'PackActionInputs':
            given = as_list(
                step.get('meta_keys', ('img_shape', 'img_key', 'video_id', 'timestamp'))
            )
            step['meta_keys'] = tuple(dict.fromkeys([*given, *NAMES]))
