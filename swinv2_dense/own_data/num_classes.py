"""Change the number of classes in the config of a model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ..checks.class_heads import class_heads
from ..checks.class_lengths import resize_blending, resize_class_settings, resize_panoptic
from ..errors import ConfigError


def set_num_classes(model: Mapping, num_classes: int) -> Any:
    """A copy of a model's config with another number of classes in every head.

    Class weights and other settings of the losses are adapted, see `resize_class_settings`. Heads
    of semantic branches of detectors and heads that learn edges are not changed.

    Raises:
        ConfigError: No head has `num_classes`, or a setting must be changed by hand.
    """
    model = copy.deepcopy(model)
    heads = list(class_heads(model))
    if not heads and not resize_panoptic(model, num_classes):
        raise ConfigError(f'no head of model {model.get("type")} has num_classes: set it by hand')
    for key, head in heads:
        resize_class_settings(key, head, head['num_classes'], num_classes)
        head['num_classes'] = num_classes
    resize_blending(model, num_classes)
    return model
