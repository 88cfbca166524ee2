"""Checks of masks, units and input sizes of a config, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import arch_settings, pretrained
from ..checks.paths import check_checkpoint
from ..config_parts import loaded_datasets, type_name
from ..costs.input_size import input_size
from ..errors import ConfigError
from ..task import Loaders, Task

MASK = 'RandomUnitMask'
VIDEO_BACKBONES = ('VideoSwinTransformerV2', 'LowRankVideoSwinTransformerV2')


def check_masks(cfg: Mapping, loaders: Loaders, task: Task) -> None:
    """Compare the unit of the masks with the model's, and the size of the inputs with the unit.

    Raises:
        ConfigError: They do not fit, a pipeline draws no mask, or there is no such checkpoint.
    """
    model = cfg.get('model') or {}
    settings = pretrained(model.get('init_cfg'))
    if settings and 'train' in loaders:
        check_checkpoint('model.init_cfg.checkpoint', settings.checkpoint)
    unit = _unit_of(model['backbone']) if model.get('backbone') else None
    for key, dataset in loaded_datasets(cfg, loaders):
        steps = dataset.get('pipeline') or []
        step = next((step for step in steps if type_name(step) == MASK), None)
        if step is None:
            raise ConfigError(
                f'{key}.pipeline draws no mask: add dict(type={MASK!r}) before PackMaskedInputs'
            )
        masked = _as_unit(step.get('unit', 32))
        if unit is not None and masked != unit:
            raise ConfigError(
                f'{key}.pipeline: {MASK} has unit={step.get("unit", 32)}, but the last stage of '
                f'the backbone has a stride of {_pixels(unit)} pixels; set unit={_given(unit)}'
            )
        size = input_size(steps, task)
        if size and any(side % u for side, u in zip(size, masked[-len(size) :])):
            raise ConfigError(
                f'{key}.pipeline returns inputs of {_pixels(size)}, which are not divisible by '
                f'the unit of the mask, {_pixels(masked[-len(size) :])}; change the size of the '
                'crop, or the frames of the clip'
            )


def _unit_of(backbone: Mapping[str, Any]) -> tuple[int, ...]:
    """Stride of the last stage; between stages only height and width are halved."""
    is_video = type_name(backbone) in VIDEO_BACKBONES
    patch = backbone.get('patch_size', (2, 4, 4) if is_video else 4)
    *time, height, width = (patch,) * (3 if is_video else 2) if isinstance(patch, int) else patch
    factor = 2 ** (len(arch_settings(backbone.get('arch', 't'))[1]) - 1)
    return (*time, height * factor, width * factor)


def _as_unit(unit: Any) -> tuple[int, ...]:
    return (unit, unit) if isinstance(unit, int) else tuple(unit)


def _given(unit: tuple[int, ...]) -> int | tuple[int, ...]:
    return unit[0] if len(unit) == 2 and unit[0] == unit[1] else unit


def _pixels(size: tuple[int, ...]) -> str:
    return ' x '.join(map(str, size))
