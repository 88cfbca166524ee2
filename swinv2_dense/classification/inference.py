"""Inference on files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose

from ..drawing.clips import labelled
from ..inference.base import ImageInferencer
from ..inference.loaded_image import pipeline_for_loaded
from .samples import ClassificationSample
from .weights import ClassifierWeightsHook


class ClassificationInferencer(ImageInferencer):
    """Predicts the top classes of each image or frame."""

    load_hooks = (ClassifierWeightsHook, *ImageInferencer.load_hooks)

    def describe(self, sample: ClassificationSample) -> dict[str, Any]:
        """The best classes with their scores: `label`, `name` and `score`."""
        return dict(top=self.top(sample.pred_score))

    def plain(self, sample: ClassificationSample) -> dict[str, Any]:
        return self.plain_scores(sample.pred_score)

    def draw(self, image: np.ndarray, sample: ClassificationSample, caption: str) -> np.ndarray:
        """The image with the best classes in its corner."""
        return self.draw_frame(image, sample)

    def draw_frame(self, image: np.ndarray, sample: ClassificationSample) -> np.ndarray:
        """See `draw`."""
        top = self.describe(sample)['top']
        return labelled(image, [f'{entry["score"]:.3f}  {entry["name"]}' for entry in top])

    def source(self, image: np.ndarray, path: Path) -> dict[str, Any]:
        return dict(img=image, img_path=str(path))

    def _init_pipeline(self, cfg: Config) -> Compose:
        return pipeline_for_loaded(cfg)

    def visualize(self, *args: Any, **kwargs: Any) -> None:
        """Abstract in mmengine's class; `process` takes its place."""

    def postprocess(self, *args: Any, **kwargs: Any) -> None:
        """See `visualize`."""
