"""Panoptic quality of a test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get, load
from mmengine.logging import MMLogger, print_log

from ...preparation.panoptic_ids import segment_ids
from .quality import Segment, count_matches, panoptic_quality
from .segments import found_segments


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
        self.seg_prefix, self.classwise, self.backend_args = seg_prefix, classwise, backend_args
        coco = load(ann_file, backend_args=backend_args)
        self.annotations = {entry['image_id']: entry for entry in coco['annotations']}
        self.categories = {entry['id']: entry for entry in coco['categories']}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the matches of a batch of predictions, dicts of `DetDataSample`s."""
        labels = self._labels()
        for sample in data_samples:
            truth = self.annotations[sample['img_id']]
            path = os.path.join(self.seg_prefix, truth['file_name'])
            rgb = mmcv.imfrombytes(
                get(path, backend_args=self.backend_args), flag='color', channel_order='rgb'
            )
            segments = {
                entry['id']: Segment(labels[entry['category_id']], bool(entry.get('iscrowd')))
                for entry in truth['segments_info']
            }
            ids, found = found_segments(sample['pred_panoptic_seg'], len(labels))
            self.results.append(count_matches(segment_ids(rgb), segments, ids, found, len(labels)))

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        counts = np.sum(results, axis=0)
        labels = self._labels()
        is_thing = {labels[key]: entry['isthing'] for key, entry in self.categories.items()}
        groups = {
            '': list(labels.values()),
            '_th': [label for label in labels.values() if is_thing[label]],
            '_st': [label for label in labels.values() if not is_thing[label]],
        }
        metrics = {}
        for suffix, group in groups.items():
            score = panoptic_quality(counts, group)
            for name in ('pq', 'sq', 'rq'):
                metrics[f'{name.upper()}{suffix}'] = 100 * getattr(score, name)
        if self.classwise:
            lines = [
                f'  {self.dataset_meta["classes"][label]}: '
                f'{100 * panoptic_quality(counts, [label]).pq:.1f}'
                for label in labels.values()
                if counts[label, 1:].any()
            ]
            print_log('PQ by class:\n' + '\n'.join(lines), MMLogger.get_current_instance())
        return metrics

    def _labels(self) -> dict[int, int]:
        """Label by category id: the place of its name among the classes of the dataset."""
        places = {name: label for label, name in enumerate(self.dataset_meta['classes'])}
        return {key: places[entry['name']] for key, entry in self.categories.items()}
