"""Inference on files."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS

from ..drawing.clips import labelled
from ..errors import ConfigError
from ..inference.base import ImageInferencer, plain_scores
from .samples import ClassificationSample
from .weights import ClassifierWeightsHook

TOP = 5  # classes to report


class _GivenImage(BaseTransform):
    """The first step of a pipeline for images in memory.

    Args:
        from_file: The step of the config that loads files.
    """

    def __init__(self, from_file: LoadImageFromFile) -> None:
        self.from_file = from_file

    def transform(self, image: np.ndarray) -> dict:
        """An image (H, W, 3), BGR, as what loading returns."""
        return dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])


class ClassificationInferencer(ImageInferencer):
    """Predicts the top classes of each image or frame."""

    load_hooks = (ClassifierWeightsHook, *ImageInferencer.load_hooks)

    def describe(self, sample: ClassificationSample) -> dict[str, Any]:
        """The best classes with their scores: `label`, `name` and `score`."""
        top = [
            dict(label=i, name=self.name(i), score=score)
            for i, score in zip(*(part.tolist() for part in self._top(sample)))
        ]
        return dict(top=top)

    def plain(self, sample: ClassificationSample) -> dict[str, Any]:
        return plain_scores(sample.pred_score, self.name)

    def draw(self, image: np.ndarray, sample: ClassificationSample, caption: str) -> np.ndarray:
        """The image with the best classes in its corner."""
        return self.draw_frame(image, sample)

    def draw_frame(self, image: np.ndarray, sample: ClassificationSample) -> np.ndarray:
        """See `draw`."""
        top = self.describe(sample)['top']
        return labelled(image, [f'{entry["score"]:.3f}  {entry["name"]}' for entry in top])

    @staticmethod
    def _top(sample: ClassificationSample) -> tuple:
        scores, labels = sample.pred_score.topk(min(TOP, len(sample.pred_score)))
        return labels, scores

    def _init_pipeline(self, cfg: Config) -> Compose:
        steps = copy.deepcopy(list(cfg.test_dataloader.dataset.pipeline))
        loader = TRANSFORMS.build(steps[0])
        if not isinstance(loader, LoadImageFromFile):
            raise ConfigError(
                'test_dataloader.dataset.pipeline must begin with LoadImageFromFile, not '
                f'{type(loader).__name__}'
            )
        return Compose([_GivenImage(loader), *steps[1:]])

    def visualize(self, *args: Any, **kwargs: Any) -> None:
        """Abstract in mmengine's class; `process` takes its place."""

    def postprocess(self, *args: Any, **kwargs: Any) -> None:
        """See `visualize`."""
