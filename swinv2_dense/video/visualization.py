"""Pictures of recognized clips."""

from __future__ import annotations

from typing import Any

from mmaction.engine.hooks import VisualizationHook
from mmaction.registry import HOOKS


@HOOKS.register_module()
class ViewVisualizationHook(VisualizationHook):
    """mmaction2's `VisualizationHook`, mended for 3-D recognizers; takes its arguments.

    It draws the first view of each sample: inputs are (views, C, T, H, W), which the original
    takes for (C, T, H, W). The visualizer calls `show_frames` what the original passes as `show`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.draw_args['show_frames'] = self.draw_args.pop('show')

    def _draw_samples(
        self, batch_idx: int, data_batch: dict, data_samples: list, step: int = 0
    ) -> None:
        views = [clip[0] if clip.dim() == 5 else clip for clip in data_batch['inputs']]
        super()._draw_samples(batch_idx, {**data_batch, 'inputs': views}, data_samples, step)
