"""Settings besides `num_classes` whose length or value is the number of classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ConfigError


def resize_class_settings(key: str, head: Any, old: int, new: int) -> None:
    """Adapt the settings of a head and its losses to another number of classes.

    The caller sets `num_classes` of the head itself. Adapted are:

    - `class_weight` of a loss, one weight per class and optionally one for background;
    - `num_classes` of a loss (SeesawLoss) or of another part, if it equals that of the head;
    - `out_channels`, if it equals the number of classes.

    Raises:
        ConfigError: Classes have unequal weights, or the head has one channel for two classes, so
            the new values are ambiguous.
    """
    channels = head.get('out_channels')
    if channels == old:
        head['out_channels'] = new
    elif channels == 1 and old == 2 and new != 2:
        raise ConfigError(
            f'{key}.out_channels=1 separates two classes, not {new}: set out_channels and '
            'loss_decode by hand'
        )
    for name, part in _parts(key, head):
        if part is not head and part.get('num_classes') == old:
            part['num_classes'] = new
        weights = part.get('class_weight')
        if isinstance(weights, (list, tuple)) and old != new:
            part['class_weight'] = _resized(f'{name}.class_weight', list(weights), old, new)


def resize_panoptic(model: Any, new: int) -> bool:
    """Adapt the heads of mmdet's MaskFormer or Mask2Former; returns whether there are any.

    Raises:
        ConfigError: There are stuff classes, so one number is not enough.
    """
    keys = [k for k, v in model.items() if isinstance(v, Mapping) and 'num_things_classes' in v]
    for key in keys:
        head = model[key]
        if head.get('num_stuff_classes'):
            raise ConfigError(
                f'model.{key} has num_things_classes={head["num_things_classes"]} and '
                f'num_stuff_classes={head["num_stuff_classes"]}: set both by hand, and '
                'loss_cls.class_weight with one weight more than their sum'
            )
        resize_class_settings(f'model.{key}', head, head['num_things_classes'], new)
        head['num_things_classes'] = new
    return bool(keys)


def resize_blending(model: Any, new: int) -> None:
    """Adapt mixing of clips and labels (Mixup, Cutmix) in mmaction2's data preprocessor."""
    blending = (model.get('data_preprocessor') or {}).get('blending')
    for _, part in _parts('model.data_preprocessor.blending', blending):
        if 'num_classes' in part:
            part['num_classes'] = new


def check_class_weights(key: str, head: Mapping) -> None:
    """Compare the number of class weights in the losses of a head with its classes.

    Raises:
        ConfigError: A loss has neither one weight per class nor one more for background.
    """
    count = head['num_classes']
    for name, part in _parts(key, head):
        weights = part.get('class_weight')
        if isinstance(weights, (list, tuple)) and len(weights) not in (count, count + 1):
            raise ConfigError(
                f'{name}.class_weight has {len(weights)} weights, but {key}.num_classes={count}; '
                f'it needs {count}, or {count + 1} with one for background'
            )


def _parts(key: str, part: Any) -> Iterator[tuple[str, Any]]:
    """A config and all nested ones, with their keys."""
    if isinstance(part, Mapping):
        yield key, part
        for name, inner in part.items():
            yield from _parts(f'{key}.{name}', inner)
    elif isinstance(part, (list, tuple)):
        for i, inner in enumerate(part):
            yield from _parts(f'{key}.{i}', inner)


def _resized(key: str, weights: list[float], old: int, new: int) -> list[float]:
    of_classes, background = weights[:old], weights[old:]
    if len(weights) not in (old, old + 1) or len(set(of_classes)) != 1:
        raise ConfigError(
            f'{key} has {len(weights)} weights for {old} classes, and {new} are needed: set it by '
            'hand, or remove it'
        )
    return of_classes[:1] * new + background
