"""Training targets of a validation set, for `train.py --val-loss`."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config

from ..config_parts import ANNOTATION_LOADERS, datasets_of, loaded_datasets, type_name
from ..errors import ConfigError


def load_targets(cfg: Config, dataset: Any) -> None:
    """Make a validation dataset load what the training loads, after the image.

    Validation pipelines load boxes only, or nothing: metrics read the annotation file.

    Raises:
        ConfigError: The training does not load annotations, or needs semantic maps that the
            validation set does not have.
    """
    steps = [
        step
        for _, part in loaded_datasets(cfg, ('train',))
        for step in part.get('pipeline') or []
        if type_name(step) in ANNOTATION_LOADERS
    ]
    if not steps:
        raise ConfigError('--val-loss: no pipeline of train_dataloader has LoadAnnotations')
    for key, part in datasets_of('val', dataset):
        if steps[0].get('with_seg') and 'seg' not in (part.get('data_prefix') or {}):
            raise ConfigError(
                f'--val-loss: the training loads semantic maps; set {key}.data_prefix.seg to the '
                'folder of those of the validation set'
            )
        names = [type_name(step) for step in part.pipeline]
        if 'LoadImageFromFile' not in names:
            raise ConfigError(f'--val-loss: {key}.pipeline has no LoadImageFromFile')
        rest = [s for s, name in zip(part.pipeline, names) if name not in ANNOTATION_LOADERS]
        rest.insert(names.index('LoadImageFromFile') + 1, copy.deepcopy(steps[0]))
        part.pipeline = rest
