"""The kind of each error of a detector, as in TIDE (Bolya et al., arXiv 2008.08115, section 2.2).

         IoU with the closest object
0 ------- 0.1 ---------- 0.5 --------- 1
background | localization | correct, or duplicate     same class
background |     both     | classification            other class
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU
KINDS = ('classification', 'localization', 'both', 'duplicate', 'background', 'missed')


def kinds_of_errors(
    truth: Sequence[Mapping], detections: Sequence[Mapping], key: str = 'bbox'
) -> tuple[list[str], list[str]]:
    """What is wrong with each detection, and with each object, of one image.

    Args:
        truth: COCO annotations; crowds take in detections without being missed.
        detections: COCO results, with scores. Ties keep their order.
        key: 'bbox' or 'segmentation' (compressed RLE in both).

    Returns:
        For each detection '', 'ignored' (on a crowd) or one of `KINDS`; for each object '' or
        'missed'. An object that a classification or localization error covers is not missed: it is
        one mistake, not two.
    """
    overlap = _overlaps(truth, detections, key)
    truth_class = np.array([item['category_id'] for item in truth], int)
    crowd = np.array([bool(item.get('iscrowd')) for item in truth], bool)
    kinds, free = [''] * len(detections), ~crowd
    order = np.argsort([-item['score'] for item in detections], kind='stable')
    for index in order:  # greedy, by score, as in the COCO metric
        same = truth_class == detections[index]['category_id']
        fits = np.where(same & (overlap[index] >= FOREGROUND), overlap[index], -1)
        best = int(np.argmax(np.where(free, fits, -1))) if len(truth) else 0
        if len(truth) and free[best] and fits[best] >= 0:
            free[best] = False
        elif len(truth) and (crowd & (fits >= 0)).any():
            kinds[index] = 'ignored'
        else:
            kinds[index] = 'wrong'
    covered = np.zeros(len(truth), bool)
    for index in order:
        if kinds[index] == 'wrong':
            same = truth_class == detections[index]['category_id']
            iou = np.where(crowd, 0.0, overlap[index])
            kinds[index], at = _kind(iou, same)
            covered[at] |= kinds[index] in ('classification', 'localization')
    missed = free & ~covered
    return kinds, ['missed' if lost else '' for lost in missed]


def _kind(iou: np.ndarray, same: np.ndarray) -> tuple[str, int]:
    """The kind of a wrong detection, and the object that it should have been."""
    if not len(iou):
        return 'background', 0
    own, other = np.where(same, iou, 0), np.where(same, 0, iou)
    if BACKGROUND <= own.max() < FOREGROUND:
        return 'localization', int(own.argmax())
    if other.max() >= FOREGROUND:
        return 'classification', int(other.argmax())
    if own.max() >= FOREGROUND:
        return 'duplicate', int(own.argmax())
    if iou.max() < BACKGROUND:
        return 'background', int(iou.argmax())
    return 'both', int(iou.argmax())


def _overlaps(truth: Sequence[Mapping], detections: Sequence[Mapping], key: str) -> np.ndarray:
    from pycocotools import mask

    if not truth or not detections:
        return np.zeros((len(detections), len(truth)))
    crowd = [int(bool(item.get('iscrowd'))) for item in truth]
    pair = [[item[key] for item in items] for items in (detections, truth)]
    if key == 'bbox':
        pair = [np.array(boxes, np.float64) for boxes in pair]
    return np.asarray(mask.iou(*pair, crowd))


def by_image(items: Sequence[Mapping]) -> dict[int, list[Mapping]]:
    """Annotations or results by image id."""
    grouped = defaultdict(list)
    for item in items:
        grouped[item['image_id']].append(item)
    return grouped


def f1_curve(
    images: Sequence[Mapping], positives: int
) -> Iterator[tuple[float, float, float, float]]:
    """Threshold, precision, recall and F1 after each distinct score, from high to low.

    Args:
        images: Dicts of a class's `scores`, `matched` and `ignored`, one array each.
        positives: Objects of the class.
    """
    if not images or not positives:
        return
    score, match, ignore = (
        np.concatenate([np.asarray(image[key], float) for image in images])
        for key in ('scores', 'matched', 'ignored')
    )
    order = np.argsort(-score, kind='stable')
    order = order[ignore[order] == 0]
    score, correct = score[order], np.cumsum(match[order] > 0)
    count = np.arange(1, len(score) + 1)
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else []
    for end in last:
        precision, recall = correct[end] / count[end], correct[end] / positives
        yield (
            float(score[end]),
            float(precision),
            float(recall),
            float(2 * correct[end] / (count[end] + positives)),
        )
