"""What a recognizer makes of the order of frames: probes of the pipeline, and what they measure.

Imports mmaction; name it in `custom_imports`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.registry import METRICS, TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.evaluator import BaseMetric


def _reorder(results: dict[str, Any], order: np.ndarray) -> dict[str, Any]:
    """Give every clip of `imgs`, a list of the frames of one clip after the other, a new order."""
    clips = np.arange(len(results['imgs'])).reshape(-1, results['clip_len'])
    results['imgs'] = [results['imgs'][k] for k in clips[:, order].ravel()]
    return results


@TRANSFORMS.register_module()
class ShuffleFrames(BaseTransform):
    """Put the decoded frames of a clip in a random order."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        return _reorder(results, np.random.permutation(results['clip_len']))


@TRANSFORMS.register_module()
class ReverseFrames(BaseTransform):
    """Put the decoded frames of a clip in the opposite order."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        return _reorder(results, np.arange(results['clip_len'])[::-1])


@METRICS.register_module()
class PairMetric(BaseMetric):
    """For classes that come in pairs, 2k and 2k + 1: which clips are taken for which of them.

    `pair/right_pair` is the share of clips whose prediction is one of their pair, `pair/swapped`
    that of clips whose prediction is the other class of it.

    Args:
        out_file: Where to write labels and scores of all clips, as JSON, if anywhere.
    """

    default_prefix = 'pair'

    def __init__(self, out_file: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.out_file = out_file

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        self.results += [
            (int(sample['gt_label']), sample['pred_score'].tolist()) for sample in data_samples
        ]

    def compute_metrics(self, results: list[tuple[int, list[float]]]) -> dict[str, float]:
        labels, scores = zip(*results)
        if self.out_file is not None:
            Path(self.out_file).write_text(json.dumps(dict(labels=labels, scores=scores)))
        truth, found = np.array(labels), np.argmax(scores, axis=1)
        return dict(
            right_pair=float(np.mean(found // 2 == truth // 2)),
            swapped=float(np.mean(found == truth ^ 1)),
        )
