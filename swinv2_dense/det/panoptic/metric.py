"""Panoptic quality of a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log

from .quality import groups_of, panoptic_quality
from .truth import PanopticTruth


@METRICS.register_module()
class PanopticQualityMetric(BaseMetric):
    """PQ, SQ and RQ of all classes, of things and of stuff, in percent.

    The numbers of mmdet's `CocoPanopticMetric`, which needs panopticapi, without files in between.

    Args:
        ann_file: COCO's panoptic_*.json.
        seg_prefix: Folder of its PNGs.
        classwise: Log the PQ of every class.
        backend_args: For reading files.
        kwargs: See `BaseMetric`.
    """

    default_prefix = 'coco_panoptic'

    def __init__(
        self,
        ann_file: str,
        seg_prefix: str,
        classwise: bool = False,
        backend_args: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classwise, self.truth = classwise, PanopticTruth(ann_file, seg_prefix, backend_args)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the matches of a batch of predictions, dicts of `DetDataSample`s."""
        classes = self.dataset_meta['classes']
        self.results += [self.truth.compare(sample, classes).counts for sample in data_samples]

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        counts, classes = np.sum(results, axis=0), self.dataset_meta['classes']
        groups = groups_of(self.truth.things(classes))
        metrics = {}
        for suffix, labels in zip(('', '_th', '_st'), groups):
            score = panoptic_quality(counts, labels)
            for name in ('pq', 'sq', 'rq'):
                metrics[f'{name.upper()}{suffix}'] = 100 * getattr(score, name)
        if self.classwise:
            lines = [
                f'  {classes[label]}: {100 * panoptic_quality(counts, [label]).pq:.1f}'
                for label in groups[0]
                if counts[label, 1:].any()
            ]
            print_log('PQ by class:\n' + '\n'.join(lines), MMLogger.get_current_instance())
        return metrics
