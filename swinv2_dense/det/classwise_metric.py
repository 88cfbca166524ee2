"""mmdet's COCO metrics with unique keys for per-class APs, listed after the means."""

from __future__ import annotations

from mmdet.evaluation import CocoMetric, LVISMetric, OVCocoMetric
from mmdet.registry import METRICS
from mmengine.config import Config

from ..config_parts import as_list, type_name

SUFFIX = '_precision'  # of mmdet's keys per class, CLASS_precision


class ClasswiseKeys:
    """With `classwise=True`, prefixes per-class APs with their metric: `bbox_CLASS_precision`.

    mmdet uses `CLASS_precision` for boxes and for masks, so the latter overwrites the former. It
    also lists them before mAP, so `save_best='auto'`, which takes the first key, compares
    checkpoints by a single class.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means of all metrics, then the APs of classes."""
        if not self.classwise:
            return super().compute_metrics(results)
        means: dict[str, float] = {}
        classes: dict[str, float] = {}
        metrics = self.metrics
        try:
            for metric in metrics:  # one at a time, or the last would overwrite the others
                self.metrics = [metric]
                for key, value in super().compute_metrics(results).items():
                    if key.endswith(SUFFIX):
                        classes[f'{metric}_{key}'] = value
                    else:
                        means[f'{metric}_{key}' if key in means else key] = value
        finally:
            self.metrics = metrics
        return {**means, **classes}


@METRICS.register_module()
class ClasswiseCocoMetric(ClasswiseKeys, CocoMetric):
    """`CocoMetric`, see `ClasswiseKeys`."""


@METRICS.register_module()
class ClasswiseLVISMetric(ClasswiseKeys, LVISMetric):
    """`LVISMetric`, see `ClasswiseKeys`."""


@METRICS.register_module()
class ClasswiseOVCocoMetric(ClasswiseKeys, OVCocoMetric):
    """`OVCocoMetric`, see `ClasswiseKeys`."""


def separate_classwise_keys(cfg: Config) -> None:
    """Replace the COCO metrics of a config that are `classwise` by the ones above."""
    for loader in ('val', 'test'):
        evaluators = as_list(cfg.get(f'{loader}_evaluator') or [])
        for several in list(evaluators):  # MultiDatasetsEvaluator
            evaluators += as_list(several.get('metrics') or [])
        for evaluator in evaluators:
            name = f'Classwise{type_name(evaluator)}'
            if evaluator.get('classwise') and name in METRICS.module_dict:
                evaluator['type'] = name
