"""The metric of pre-training, and what a test writes of its predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.registry import METRICS


@METRICS.register_module()
class MaskedL1(BaseMetric):
    """Mean of the loss over held-out images: `simmim/masked_l1`, lower is better.

    Comparable between checkpoints only with masks that are fixed per image, see `RandomUnitMask`.
    """

    default_prefix = 'simmim'

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the loss of each image of a batch."""
        self.results += [float(sample['masked_l1']) for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Their mean."""
        return dict(masked_l1=float(np.mean(results)))


class DumpWithoutPixels(DumpResults):
    """mmengine's `DumpResults` without pixels, which take a million times the space of the loss."""

    def process(self, data_batch: dict, predictions: Sequence[dict]) -> None:
        """Keep file, mask and loss of each image of a batch."""
        dropped = ('image', 'reconstruction')
        kept = [{k: v for k, v in p.items() if k not in dropped} for p in predictions]
        super().process(data_batch, kept)
