"""Check the metric names in a config: `save_best` of checkpoints, `monitor` of early stopping.

mmengine looks up a name after the first validation, which may be hours into the training.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.hooks import CheckpointHook

from ..config_parts import as_list, type_name
from ..errors import ConfigError

COCO_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
PROPOSAL_ITEMS = ('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')
SEGMENTATION = {
    'mIoU': ('mIoU', 'mAcc'),
    'mDice': ('mDice', 'mAcc'),
    'mFscore': ('mFscore', 'mPrecision', 'mRecall'),
}
CLASSIFICATION = {
    'mean_class_accuracy': 'mean1',
    'mean_average_precision': 'mean_average_precision',
    'mmit_mean_average_precision': 'mmit_mean_average_precision',
}


def check_metric_names(cfg: Mapping) -> None:
    """Check that the validation reports the metrics that hooks name.

    Raises:
        ConfigError: It does not, or mmengine cannot tell whether greater is better.
    """
    hooks = cfg.get('default_hooks') or {}
    named = [('default_hooks.checkpoint', hooks.get('checkpoint') or {})]
    named += [(f'custom_hooks[{i}]', hook) for i, hook in enumerate(cfg.get('custom_hooks') or [])]
    for where, hook in named:
        for argument in ('save_best', 'monitor'):
            names = [name for name in as_list(hook.get(argument)) if name and name != 'auto']
            for name in names:
                _check_name(cfg, f'{where}.{argument}', name)
            if names and not hook.get('rule'):
                _check_rule(where, argument, hook, names)


def _check_name(cfg: Mapping, key: str, name: str) -> None:
    known: list[str] = []
    for evaluator in as_list(cfg.get('val_evaluator')):
        names = metric_names(evaluator) if isinstance(evaluator, Mapping) else None
        if names is None or _is_of_a_class(evaluator, name):
            return  # its names are unknown
        known += names
    if name not in known and known:
        near = difflib.get_close_matches(name, known, 1, 0.3)
        same = [one for one in known if one.rpartition('/')[2] == name] or near
        hint = f'; the nearest is {same[0]!r}' if same else ''
        raise ConfigError(
            f'{key}={name!r}: the validation reports no such metric{hint}; it reports '
            f'{", ".join(known)}'
        )


def _check_rule(where: str, argument: str, hook: Mapping, names: list[str]) -> None:
    greater = hook.get('greater_keys') or CheckpointHook._default_greater_keys
    less = hook.get('less_keys') or CheckpointHook._default_less_keys
    for name in names:
        if not any(part.lower() in name.lower() for part in [*greater, *less]):
            raise ConfigError(
                f"{where}.{argument}={name!r} needs {where}.rule='greater' (or 'less'): its name "
                'does not say which is better'
            )


def metric_names(evaluator: Mapping) -> list[str] | None:
    """The names of the metrics that an evaluator reports; None if they are unknown."""
    names = YIELDS.get(type_name(evaluator))
    if names is None or evaluator.get('format_only'):
        return None
    prefix = evaluator.get('prefix') or PREFIXES.get(type_name(evaluator))
    return [f'{prefix}/{name}' if prefix else name for name in names(evaluator)]


def _is_of_a_class(evaluator: Mapping, name: str) -> bool:
    """Whether a name may be the metric of one class; these depend on the data."""
    prefix = evaluator.get('prefix') or PREFIXES.get(type_name(evaluator))
    return bool(evaluator.get('classwise')) and name.startswith(f'{prefix}/')


def _coco(evaluator: Mapping) -> Iterator[str]:
    for metric in as_list(evaluator.get('metric', 'bbox')):
        if metric == 'proposal_fast':
            yield from (f'AR@{n}' for n in evaluator.get('proposal_nums') or (100, 300, 1000))
        elif metric == 'proposal':
            yield from evaluator.get('metric_items') or PROPOSAL_ITEMS
        else:
            items = evaluator.get('metric_items') or COCO_ITEMS
            yield from (f'{metric}_{item}' for item in items)


def _segmentation(evaluator: Mapping) -> Iterator[str]:
    yield 'aAcc'
    for metric in as_list(evaluator.get('iou_metrics', 'mIoU')):
        yield from SEGMENTATION.get(metric, ())


def _classification(evaluator: Mapping) -> Iterator[str]:
    kinds = evaluator.get('metric_list') or ('top_k_accuracy', 'mean_class_accuracy')
    options: Any = (evaluator.get('metric_options') or {}).get('top_k_accuracy') or {}
    for kind in as_list(kinds):
        if kind == 'top_k_accuracy':
            yield from (f'top{k}' for k in as_list(options.get('topk', (1, 5))))
        elif kind in CLASSIFICATION:
            yield CLASSIFICATION[kind]


def _accuracy(evaluator: Mapping) -> Iterator[str]:
    yield from (f'top{k}' for k in as_list(evaluator.get('topk', (1, 5))))
    yield 'mean1'


YIELDS = {
    'CocoMetric': _coco,
    'FastCocoMetric': _coco,
    'IoUMetric': _segmentation,
    'AccMetric': _classification,
    'ClassificationAccuracy': _accuracy,
}
PREFIXES = {
    'CocoMetric': 'coco',
    'FastCocoMetric': 'coco',
    'AccMetric': 'acc',
    'ClassificationAccuracy': 'acc',
}
