"""The size of the inputs that a training pipeline produces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from ..config_parts import as_list, type_name
from ..errors import ConfigError
from ..task import Task

CROPS = ('RandomCrop', 'RandomResizedCrop', 'CenterCrop', 'ThreeCrop')


def training_size(cfg: Config, task: Task) -> tuple[int, ...]:
    """(H, W) or (T, H, W) in pixels that the training pipeline produces; the largest if it varies.

    Raises:
        ConfigError: The pipeline does not determine it.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or ConfigDict()
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset.dataset
    size = input_size(dataset.get('pipeline') or [], task)
    if size is None or task.takes_clips(cfg) != (len(size) == 3):
        raise ConfigError(
            f'{cfg.filename}: the training pipeline does not determine the size of images; give it '
            'with --size H W, or T H W for video'
        )
    return size


def input_size(steps: Sequence[Mapping], task: Task) -> tuple[int, ...] | None:
    """(H, W) or (T, H, W) in pixels that a pipeline produces, see `training_size`; else None."""
    size = _size_after(steps, None, task)
    frames = [step['clip_len'] for step in steps if 'clip_len' in step]
    return size and (*frames[-1:], *size)


def _size_after(steps: Sequence, size: tuple[int, int] | None, task: Task) -> Any:
    """Largest (H, W) that steps produce from an image of `size`; None if they do not say."""
    for step in steps:
        name = type_name(step)
        if step.get('transforms'):
            sizes = [_size_after(branch, size, task) for branch in _branches(step)]
        elif 'Resize' in name and 'Crop' not in name:
            sizes = _scales(step, task)
        else:  # a crop of unknown size leaves at most its input
            sizes = [_crop(step, task) or size]
        size = max(filter(None, sizes), key=math.prod, default=None)
    return size


def _branches(step: Mapping[str, Any]) -> list[list]:
    """The pipelines that a wrapper of transforms chooses from."""
    inner = as_list(step['transforms'])
    if type_name(step) == 'RandomChoice':
        return [as_list(part) for part in inner]
    return [inner, []] if type_name(step) == 'RandomApply' else [inner]


def _scales(step: Mapping[str, Any], task: Task) -> list[tuple[int, int]]:
    """(H, W) that a step resizes to; none if it has a factor, or -1 for one side."""
    if 'scales' in step:  # as in mmcv: a list of choices, or one
        given = step['scales'] if isinstance(step['scales'], list) else [step['scales']]
    else:
        parts = as_list(step.get('scale'))
        nested = all(isinstance(part, (list, tuple)) for part in parts)
        given = parts if nested else [step.get('scale')]
    pairs = list(filter(None, map(_pair, given)))
    if 'ResizeShortestEdge' in (type_name(step), type_name({'type': step.get('resize_type')})):
        longest = step.get('max_size')
        return [(min(pair), longest) for pair in pairs] if longest else []
    largest = max(step.get('ratio_range') or [1.0])
    sizes = [(int(h * largest), int(w * largest)) for w, h in pairs]
    # With the ratio kept, a scale is two sides in any order; most images are wider than high.
    kept = step.get('keep_ratio', task.resize_keeps_ratio)
    return [tuple(sorted(size)) for size in sizes] if kept else sizes


def _crop(step: Mapping[str, Any], task: Task) -> tuple[int, int] | None:
    """(H, W) that a step crops; None if it is not a crop, or crops a fraction of the image."""
    name, kind = type_name(step), step.get('crop_type', 'absolute')
    pair = _pair(step.get('crop_size', step.get('size')))
    if name not in CROPS or pair is None or not kind.startswith('absolute'):
        return None
    if kind == 'absolute_range':  # from, to
        return pair[1], pair[1]
    return pair if name in task.height_first_crops else pair[::-1]


def _pair(value: Any) -> tuple[int, int] | None:
    """Two sides in pixels; an integer means a square."""
    sides = (value, value) if isinstance(value, int) else value
    if not isinstance(sides, (list, tuple)) or len(sides) != 2:
        return None
    return tuple(sides) if all(isinstance(n, int) and n > 0 for n in sides) else None
