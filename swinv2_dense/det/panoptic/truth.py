"""True segments of a panoptic dataset, compared with predictions image by image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import mmcv
import numpy as np
from mmengine.fileio import get, load

from ...preparation.panoptic_ids import segment_ids
from .quality import Segment, count_matches
from .segments import found_segments


class Compared(NamedTuple):
    """The maps (H, W) of segment ids of an image, their segments, and the counts of matches."""

    truth: np.ndarray
    true_segments: dict[int, Segment]
    found: np.ndarray
    found_segments: dict[int, int]
    counts: np.ndarray


class PanopticTruth:
    """The annotations of a panoptic dataset in COCO's format.

    Args:
        ann_file: COCO's panoptic_*.json.
        seg_prefix: Folder of its PNGs.
        backend_args: For reading files.
    """

    def __init__(self, ann_file: str, seg_prefix: str, backend_args: dict | None = None) -> None:
        self.seg_prefix, self.backend_args = seg_prefix, backend_args
        coco = load(ann_file, backend_args=backend_args)
        self.annotations = {entry['image_id']: entry for entry in coco['annotations']}
        self.categories = {entry['id']: entry for entry in coco['categories']}

    def things(self, classes: Sequence[str]) -> dict[int, bool]:
        """Whether a label is a thing, by label; labels index the names of classes."""
        labels = self._labels(classes)
        return {labels[key]: bool(entry['isthing']) for key, entry in self.categories.items()}

    def compare(self, sample: Mapping[str, Any], classes: Sequence[str]) -> Compared:
        """Match the segments of a prediction, a dict of a `DetDataSample`, with the true ones."""
        labels, truth = self._labels(classes), self.annotations[sample['img_id']]
        path = os.path.join(self.seg_prefix, truth['file_name'])
        rgb = mmcv.imfrombytes(
            get(path, backend_args=self.backend_args), flag='color', channel_order='rgb'
        )
        ids = segment_ids(rgb)
        segments = {
            entry['id']: Segment(labels[entry['category_id']], bool(entry.get('iscrowd')))
            for entry in truth['segments_info']
        }
        found = found_segments(sample['pred_panoptic_seg'], len(classes))
        return Compared(ids, segments, *found, count_matches(ids, segments, *found, len(classes)))

    def _labels(self, classes: Sequence[str]) -> dict[int, int]:
        """Label by category id: the place of its name among the classes of the dataset."""
        places = {name: label for label, name in enumerate(classes)}
        return {key: places[entry['name']] for key, entry in self.categories.items()}
