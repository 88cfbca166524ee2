"""Make test pipelines fit the sizes of exported files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config_parts import datasets_of, type_name
from ..costs.input_size import input_size
from ..errors import ConfigError
from ..task import Task

Sizes = Sequence[tuple[int, int]]


def given_sizes(values: Sequence[int] | None, cfg: Any, task: Task) -> list[list[int]]:
    """The sizes ((T,) H, W) to export: pairs of `values`, or what the test pipeline produces.

    Raises:
        ConfigError: The values are not pairs of positive integers, or neither determines a size.
    """
    datasets = dict(datasets_of('test', (cfg.get('test_dataloader') or {}).get('dataset')))
    pipeline = next((part.get('pipeline') for part in datasets.values()), None) or []
    found = input_size(pipeline, task)
    if values is None:
        if found is None or (len(found) == 3) != task.takes_clips(cfg):
            raise ConfigError('the test pipeline does not determine the size; give --size H W')
        return [list(found)]
    if len(values) % 2 or min(values) < 1:
        raise ConfigError(
            f'--size={" ".join(map(str, values))}: give pairs of positive integers, H W [H W ...]; '
            'height and width cannot be left open, because the exporters freeze those of the '
            'example'
        )
    frames: list[int] = []
    if task.takes_clips(cfg):
        frames = [step['clip_len'] for step in pipeline if 'clip_len' in step][-1:]
        if not frames:
            raise ConfigError('test_dataloader.dataset.pipeline has no step with clip_len')
    return [[*frames, *pair] for pair in zip(values[::2], values[1::2])]


def fit_pipeline(cfg: Any, sizes: Sizes) -> list[str]:
    """Resize images to fit into one of `sizes`, where the test pipelines may make them larger.

    Returns:
        A line about each step that was replaced.
    """
    lines = []
    loader = cfg.get('test_dataloader') or {}
    for key, dataset in datasets_of('test', loader.get('dataset')):
        steps = list(dataset.get('pipeline') or [])
        for index, step in enumerate(steps):
            if type_name(step) == 'Resize' and not _fits(step, sizes):
                listed = ', '.join(f'{h} x {w}' for h, w in sizes)
                lines.append(
                    f'{key}.pipeline: images are resized to fit into {listed}, the sizes of the '
                    f'file, instead of scale={step.get("scale")}'
                )
                inner = {k: v for k, v in step.items() if k != 'scale_factor'}
                inner.update(scale=tuple(sizes[0][::-1]), keep_ratio=False)
                steps[index] = dict(
                    type='ResizeInto', sizes=[tuple(size) for size in sizes], resize=inner
                )
        dataset['pipeline'] = steps
    return lines


def _fits(step: Mapping[str, Any], sizes: Sizes) -> bool:
    """Whether all images that a Resize makes fit into one of the sizes."""
    scale = step.get('scale')
    if not isinstance(scale, (list, tuple)) or step.get('scale_factor') is not None:
        return False
    shapes = [tuple(scale)[::-1]]
    if step.get('keep_ratio'):  # a scale is then the longer and the shorter side, in any order
        shapes = [(min(scale), max(scale)), (max(scale), min(scale))]
    return all(any(h <= H and w <= W for H, W in sizes) for h, w in shapes)
