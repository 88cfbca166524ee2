"""Check that model, pipelines and metrics agree on masks before training or testing starts.

mmdet fails in the first loss if a mask head gets no masks, and after the first evaluation if masks
are evaluated that nothing predicts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..checks.coco_counts import FOR_BOXES
from ..config_parts import as_list, type_name
from ..errors import ConfigError

NOT_HEADS = ('train_cfg', 'test_cfg', 'data_preprocessor', 'backbone', 'neck')
HTC_HEADS = ('HybridTaskCascadeRoIHead', 'MaskEnsembleHTCRoIHead')


def check_masks(
    model: Mapping,
    train_sets: Iterable[tuple[str, Mapping]],
    evaluators: Iterable[tuple[str, Any]],
) -> None:
    """Compare the heads of a detector with its training pipelines and its metrics.

    Args:
        model: Config of the detector.
        train_sets: Key and config of each training dataset without wrappers.
        evaluators: Key and config of each evaluator that is used.

    Raises:
        ConfigError: Masks are learned but not loaded, or evaluated but not predicted; or a cascade
            without mask heads would train later stages on unrefined boxes.
    """
    roi_head = model.get('roi_head') or {}
    for key, dataset in train_sets:
        steps = [step for step in as_list(dataset.get('pipeline') or []) if _loads(step)]
        if roi_head.get('mask_head') and steps and not any(map(_loads_masks, steps)):
            raise ConfigError(
                f'{key}.pipeline loads no masks, from which model.roi_head.mask_head learns; set '
                f'with_mask=True in LoadAnnotations, or for boxes only, {FOR_BOXES}'
            )
    without_masks = type_name(roi_head) in HTC_HEADS and not roi_head.get('mask_head')
    if without_masks and roi_head.get('interleaved', True):
        raise ConfigError(
            'model.roi_head.interleaved=True without mask_head: mmdet would train stages 2 and 3 '
            'on unrefined boxes; set interleaved=False, as in '
            'configs/_base_/models/htc++_without-mask.py'
        )
    for key, evaluator in evaluators:
        for metric in _metrics(evaluator):
            if 'segm' in as_list(metric.get('metric')) and not predicts_masks(model):
                raise ConfigError(
                    f'{key} evaluates masks (segm), but the model, a {type_name(model)}, predicts '
                    f"boxes only; set metric='bbox', as in configs/_base_/datasets/own_boxes.py, "
                    'or use a model with masks, such as mask-rcnn.py in configs/_base_/models'
                )


def predicts_masks(model: Mapping) -> bool:
    """Whether a part of a detector predicts masks; True for detectors of unknown structure."""
    if not any(model.get(key) for key in ('roi_head', 'bbox_head')):
        return True
    heads = {key: part for key, part in model.items() if key not in NOT_HEADS}
    return any(re.search('mask|Mask|Ins|Seg', word) for word in _words(heads))


def _words(part: Any) -> Iterator[str]:
    """The keys with a part below them, and the types of the parts."""
    if isinstance(part, Mapping):
        yield type_name(part)
        for key, inner in part.items():
            if isinstance(inner, (Mapping, list, tuple)):
                yield key
                yield from _words(inner)
    elif isinstance(part, (list, tuple)):
        for inner in part:
            yield from _words(inner)


def _loads(step: Any) -> bool:
    return isinstance(step, Mapping) and 'Annotations' in type_name(step)


def _loads_masks(step: Mapping) -> bool:
    return bool(step.get('with_mask', type_name(step) != 'LoadAnnotations'))


def _metrics(evaluator: Any) -> Iterator[Mapping]:
    """COCO-like metrics, including nested ones."""
    for part in as_list(evaluator or []):
        if isinstance(part, Mapping):
            if 'metric' in part:
                yield part
            yield from _metrics(part.get('metrics'))
