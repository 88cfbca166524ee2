"""Classifiers as exported files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor

from ..export.graph import Core
from ..export.model import ExportedRunner, plain_preprocessor
from .classifier import ImageClassifier
from .samples import ClassificationSample


class ClassifierCore(Core):
    """Images -> `logits` (B, N) and, unless `raw`, their softmax as `scores`."""

    def __init__(self, model: ImageClassifier, raw: bool) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head
        self.names = ('logits',) if raw else ('logits', 'scores')

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        logits = self.head(self.backbone(x)).float()
        return (logits, logits.softmax(dim=1))[: len(self.names)]


@MODELS.register_module()
class ExportedClassifier(BaseModel):
    """Predicts with an exported file.

    Args:
        file: Path of the file.
        model: Config of the model that was exported.
    """

    def __init__(self, file: str, model: Mapping[str, Any]) -> None:
        super().__init__(plain_preprocessor(model))
        self.runner = ExportedRunner(file)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[ClassificationSample] | None = None,
        mode: str = 'predict',
    ) -> list[ClassificationSample]:
        """Images (B, C, H, W) as decoded -> samples with `pred_score` and `pred_label`."""
        scores = self.runner(inputs)[0]['scores']
        samples = list(data_samples or (ClassificationSample() for _ in scores))
        return [sample.set_scores(score) for sample, score in zip(samples, scores)]
