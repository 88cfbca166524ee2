"""Transforms and a metric that show whether a recognizer uses the order of the frames.

Imports mmaction; list it in `custom_imports`.
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
    """Reorder the frames of each clip in `imgs`, which holds one clip after the other."""
    clips = np.arange(len(results['imgs'])).reshape(-1, results['clip_len'])
    results['imgs'] = [results['imgs'][k] for k in clips[:, order].ravel()]
    return results


@TRANSFORMS.register_module()
class ShuffleFrames(BaseTransform):
    """Shuffle the decoded frames of a clip."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        return _reorder(results, np.random.permutation(results['clip_len']))


@TRANSFORMS.register_module()
class ReverseFrames(BaseTransform):
    """Reverse the decoded frames of a clip."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        return _reorder(results, np.arange(results['clip_len'])[::-1])


@METRICS.register_module()
class PairMetric(BaseMetric):
    """For classes in pairs, 2k and 2k + 1.

    `pair/right_pair` is the share of clips predicted as either class of their pair,
    `pair/swapped` the share predicted as the other class of their pair.

    Args:
        out_file: A JSON file for labels and scores of all clips; none by default.
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
