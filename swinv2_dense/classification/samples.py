"""What a pipeline packs and a classifier returns."""

from __future__ import annotations

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


class ClassificationSample(BaseDataElement):
    """The label of an image and what was predicted.

    - `gt_label` (1,) int64: the class, absent without annotation
    - `pred_score` (N,) float32: probabilities of the classes
    - `pred_label` (1,) int64: the class of the highest score
    """

    def set_label(self, label: int) -> ClassificationSample:
        """Set the true class."""
        self.set_field(torch.tensor([int(label)]), 'gt_label', dtype=Tensor)
        return self

    def set_scores(self, scores: Tensor) -> ClassificationSample:
        """Set scores (N,) and the class with the highest."""
        self.set_field(scores, 'pred_score', dtype=Tensor)
        self.set_field(scores.argmax(dim=0, keepdim=True), 'pred_label', dtype=Tensor)
        return self
