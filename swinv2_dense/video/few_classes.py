"""Drop top-k accuracies that are trivially 1.0 because there are at most k classes."""

from __future__ import annotations

from typing import Any

from mmaction.models.heads import BaseHead
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.logging import print_log

from ..checks.topk import informative_topk
from ..config_parts import as_list, type_name

DEFAULT = (1, 5)  # of AccMetric and of mmaction2's heads


def drop_certain_topk(cfg: Config) -> None:
    """Drop top-k accuracies with k >= number of classes, which are always 1.0.

    Applies to the metrics and to the training log of mmaction2's heads. Top-1 stays.
    """
    head = cfg.model.get('cls_head') or {}
    count = head.get('num_classes')
    if count is None:
        return
    topk = _as_tuple(head.get('topk', DEFAULT))
    if informative_topk(topk, count) != topk and _takes_topk(head):
        head['topk'] = informative_topk(topk, count)
    dropped = set()
    for loader in ('val', 'test'):
        for evaluator in as_list(cfg.get(f'{loader}_evaluator') or []):
            if type_name(evaluator) != 'AccMetric':
                continue
            options = dict(evaluator.get('metric_options') or {})
            top_k = dict(options.get('top_k_accuracy') or {})
            topk = _as_tuple(top_k.get('topk', DEFAULT))
            kept = informative_topk(topk, count)
            if kept != topk:
                dropped |= set(topk) - set(kept)
                top_k['topk'] = kept
                evaluator['metric_options'] = dict(options, top_k_accuracy=top_k)
    if dropped:
        names = ', '.join(f'top-{k}' for k in sorted(dropped))
        print_log(f'{names} accuracy is not reported: with {count} classes it is always 1.0')


def _takes_topk(head: dict) -> bool:
    kind = head.get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, BaseHead)


def _as_tuple(topk: Any) -> tuple[int, ...]:
    return tuple(topk) if isinstance(topk, (list, tuple)) else (topk,)
