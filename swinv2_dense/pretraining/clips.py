"""Normalization of clips."""

from __future__ import annotations

from mmengine.model import ImgDataPreprocessor
from mmengine.registry import MODELS


@MODELS.register_module()
class ClipDataPreprocessor(ImgDataPreprocessor):
    """mmengine's `ImgDataPreprocessor` for a batch of clips (3, T, H, W) of one size.

    Takes its arguments, and returns `inputs` (B, 3, T, H, W).
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalize the frames of each clip, one below the other, as an image."""
        frames = data['inputs'][0].shape[1:3]
        images = [clip.flatten(1, 2) for clip in data['inputs']]
        data = super().forward({**data, 'inputs': images}, training)
        data['inputs'] = data['inputs'].unflatten(2, frames)
        return data
