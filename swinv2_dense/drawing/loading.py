"""Images as the pipelines of datasets load them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..config_parts import transforms_within
from .sheet import displayable


class ImageLoader:
    """Reads images with the loader of the first dataset that has one; else as mmcv does.

    Args:
        datasets: Built datasets, without wrappers.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        from mmcv.transforms import LoadImageFromFile

        steps = (
            step
            for dataset in datasets
            for step in transforms_within(getattr(dataset, 'pipeline', None))
        )
        self.step = next(
            (
                step
                for step in steps
                if isinstance(step, LoadImageFromFile) or type(step).__name__ == 'LoadBands'
            ),
            None,
        )

    def __call__(self, path: str) -> np.ndarray:
        """The image (H, W, 3) in RGB, uint8."""
        import mmcv

        if self.step is None:
            return mmcv.imread(path, channel_order='rgb')
        return np.ascontiguousarray(displayable(self.step(dict(img_path=path))['img'])[..., ::-1])
