"""Reconstruct masked images, videos and clips from files."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement

from ..drawing.video import write_video
from ..inference.base import CheckedInferencer, ImageInferencer
from ..inference.loaded_image import pipeline_for_loaded
from ..inference.outputs import Outputs
from ..inference.video_files import frame_rate
from .visualization import draw_frame, draw_panels, panels_of


class _Reconstructing(CheckedInferencer):
    """What images and clips have in common."""

    def visualize(self, *args: Any, **kwargs: Any) -> None:
        """Abstract in mmengine's class; `process` takes its place."""

    def postprocess(self, *args: Any, **kwargs: Any) -> None:
        """See `visualize`."""


class ImageReconstruction(_Reconstructing, ImageInferencer):
    """Masks each image as a test would, and draws image, masked image and reconstruction."""

    def _init_pipeline(self, cfg: Config) -> Compose:
        return pipeline_for_loaded(cfg)

    def source(self, image: np.ndarray, path: Path) -> dict[str, Any]:
        """The mask depends on the name of the file."""
        return dict(img=image, img_path=str(path))

    def describe(self, sample: BaseDataElement) -> dict[str, Any]:
        return describe(sample)

    def draw(self, image: np.ndarray, sample: BaseDataElement, caption: str) -> np.ndarray:
        return draw_panels(panels_of(sample), caption)

    def draw_frame(self, image: np.ndarray, sample: BaseDataElement) -> np.ndarray:
        return draw_frame(panels_of(sample))


class ClipReconstruction(_Reconstructing):
    """Reconstructs the clip of each video that a test would, and writes it as a video."""

    def _init_pipeline(self, cfg: Config) -> Callable:
        return Compose(cfg.test_dataloader.dataset.pipeline)

    def process(self, path: Path, outputs: Outputs) -> None:
        sample = self.predict(dict(filename=str(path), start_index=0, modality='RGB'))
        panels = panels_of(sample)
        frames = (dict(zip(panels, images)) for images in zip(*panels.values()))
        steps = (getattr(step, 'frame_interval', None) for step in self.pipeline.transforms)
        interval = next(filter(None, steps), 1)
        if self.with_pictures:
            with outputs.picture() as draft:
                write_video(draft, map(draw_frame, frames), Fraction(frame_rate(path)) / interval)
        outputs.write_json(dict(input=str(path), **describe(sample)))


def describe(sample: BaseDataElement) -> dict[str, Any]:
    """The loss of an image or a clip, and its mask as nested lists."""
    return dict(masked_l1=float(sample.masked_l1), mask=sample.mask.tolist())
