"""COCO evaluation of detections with hotcoco, which agrees with pycocotools bit for bit."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from .object_errors import f1_curve

METRICS = {
    **{key: key for key in ('AP', 'AP50', 'AP75')},
    'APs': 'AP small',
    'APm': 'AP medium',
    'APl': 'AP large',
    **{key: key for key in ('AR1', 'AR10', 'AR100')},
    'ARs': 'AR small',
    'ARm': 'AR medium',
    'ARl': 'AR large',
}
SIZES = {'all': 0, 'small': 1, 'medium': 2, 'large': 3}


class CocoEvaluation:
    """One evaluation of boxes or masks.

    Args:
        truth: A COCO dictionary; the order of its categories is that of labels.
        detections: COCO results.
        kind: 'bbox' or 'segm'.

    Raises:
        ConfigError: hotcoco is not installed.
    """

    def __init__(self, truth: Mapping, detections: Sequence[Mapping], kind: str) -> None:
        try:
            import hotcoco
        except ImportError:
            raise ConfigError('a report on a detector needs hotcoco: pip install hotcoco') from None
        self.order = {item['id']: label for label, item in enumerate(truth['categories'])}
        known = hotcoco.COCO(_with_defaults(truth))
        self.run = hotcoco.COCOeval(known, known.load_res(_results(detections, kind)), kind)
        with contextlib.redirect_stdout(io.StringIO()):
            self.run.run()
        self.ids = list(self.run.params.cat_ids)

    def metrics(self) -> dict[str, float | None]:
        """The twelve numbers of COCO; None where nothing can be evaluated."""
        results = self.run.get_results()
        return {name: _defined(results[key]) for key, name in METRICS.items()}

    def class_ap(self, label: int, size: str = 'all', iou: float | None = None) -> float | None:
        """AP of a class, over all IoUs or at one."""
        category = self._category(label)
        precision = self.run.eval['precision'][:, :, self.ids.index(category), SIZES[size], -1]
        if iou is not None:
            precision = precision[np.isclose(self.run.params.iou_thrs, iou)]
        known = precision[precision > -1]
        return float(known.mean()) if known.size else None

    def curves(self) -> list[list[tuple[float, float, float, float]]]:
        """Points (threshold, precision, recall, F1) at IoU 0.5 for each label."""
        parts: list[list[dict]] = [[] for _ in self.order]
        positives = np.zeros(len(self.order), int)
        for image in self.run.eval_imgs:
            if image is None or list(image['aRng']) != list(self.run.params.area_rng[0]):
                continue
            label = self.order[image['category_id']]
            positives[label] += int(np.sum(np.asarray(image['gtIgnore']) == 0))
            parts[label].append(
                dict(
                    scores=image['dtScores'],
                    matched=np.asarray(image['dtMatches'])[0] if image['dtScores'] else [],
                    ignored=np.asarray(image['dtIgnore'])[0] if image['dtScores'] else [],
                )
            )
        self.parts, self.positives = parts, positives
        return [list(f1_curve(part, int(count))) for part, count in zip(parts, positives)]

    def overall_curve(self) -> list[tuple[float, float, float, float]]:
        """The curve of all classes together; after `curves`."""
        images = [image for part in self.parts for image in part]
        return list(f1_curve(images, int(self.positives.sum())))

    def confusion(self, threshold: float) -> tuple[list[str], list[list[int]], dict]:
        """Names, counts by truth and prediction with the background last, and settings."""
        result = self.run.confusion_matrix(iou_thr=0.5, min_score=threshold)
        order = [*np.argsort([self.order[category] for category in result['cat_ids']])]
        order.append(len(order))
        counts = np.asarray(result['matrix']).astype(int)[np.ix_(order, order)]
        names = [result['cat_names'][index] for index in order[:-1]]
        note = f'Detections with scores from {threshold:.2f}, matched at IoU 0.5 in any class.'
        return [*names, 'background'], counts.tolist(), dict(note=note)

    def errors(self) -> dict[str, Any]:
        """hotcoco's `tide_errors`."""
        return self.run.tide_errors()

    def calibration(self) -> dict[str, Any]:
        """hotcoco's `calibration`."""
        return self.run.calibration()

    def _category(self, label: int) -> int:
        return next(category for category, index in self.order.items() if index == label)


def _with_defaults(truth: Mapping) -> dict:
    annotations = []
    for item in truth['annotations']:
        width, height = item['bbox'][2:]
        annotations.append({'iscrowd': 0, 'area': width * height, **item})
    return {**truth, 'annotations': annotations}


def _results(detections: Sequence[Mapping], kind: str) -> list[dict]:
    """Copies; for masks without boxes, so that areas are those of the masks, as in mmdet."""
    left_out = 'bbox' if kind == 'segm' else 'segmentation'
    return [{k: v for k, v in item.items() if k != left_out} for item in detections]


def _defined(value: float) -> float | None:
    return None if value == -1 or np.isnan(value) else float(value)
