"""Choose the metric that summarizes an evaluation."""

from __future__ import annotations

from collections.abc import Iterable

# Suffixes of names, best first. mmseg lists pixel accuracy before mIoU, and mmdet the AP of the
# first class before mAP.
MAIN = ('bbox_mAP', 'segm_mAP', 'mAP', 'bbox_AP', 'segm_AP', 'mIoU', 'PQ', 'top1')


def main_metric(names: Iterable[str]) -> str | None:
    """The metric in `names` to compare models by: mAP, mIoU or top-1, else the first if any."""
    names = list(names)
    for end in MAIN:
        for name in names:
            if name.rpartition('/')[2] == end:
                return name
    return names[0] if names else None
