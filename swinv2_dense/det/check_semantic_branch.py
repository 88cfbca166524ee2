"""Check the data of a detector's semantic branch before training starts.

If the dataset or its pipeline does not provide semantic maps, mmdet fails in the first loss.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from ..config_parts import as_list, is_local
from ..errors import ConfigError

MAPS = 'for COCO from stuffthingmaps_trainval2017.zip, see data/README.md'


def check_semantic(
    model: Mapping, datasets: Iterable[tuple[str, Mapping]], filename: str | None
) -> None:
    """Check the semantic maps of the training datasets, given with keys, if the model uses them.

    Raises:
        ConfigError: Maps are not configured, missing, not loaded, or not padded; says how to train
            without the branch, e.g. with a sibling of the config `filename`.
    """
    if not (model.get('roi_head') or {}).get('semantic_head'):
        return
    for key, dataset in datasets:
        problem = _problem(key, dataset)
        if problem:
            raise ConfigError(
                f'{problem} model.roi_head.semantic_head learns from semantic maps, {MAPS}. '
                f'To train without them, {_without(model, key, dataset, filename)}'
            )
    preprocessor, *fixed = _paddings(model) or [('', dict(pad_seg=True))]
    for key, step in fixed or [preprocessor]:  # padding to a fixed size suffices
        if not step.get('pad_seg'):
            raise ConfigError(
                f'{key}.pad_seg=False: images are padded, but the semantic maps of '
                'model.roi_head.semantic_head are not. Set pad_seg=True, seg_pad_value=255.'
            )


def _paddings(model: Mapping) -> list[tuple[str, Mapping]]:
    """Padding of a batch, with keys: the data preprocessor, then steps that pad to a fixed size."""
    key, preprocessor = 'model.data_preprocessor', model.get('data_preprocessor')
    steps = enumerate((preprocessor or {}).get('batch_augments') or [])
    fixed = [(f'{key}.batch_augments.{i}', step) for i, step in steps if 'pad_seg' in step]
    return [(key, preprocessor), *fixed] if preprocessor else []


def _problem(key: str, dataset: Mapping) -> str | None:
    """What a dataset lacks, in a sentence."""
    prefix = dataset.get('data_prefix')
    folder = prefix.get('seg') if isinstance(prefix, Mapping) else None
    if not folder:
        return (
            f'{key}.data_prefix has no folder of semantic maps, seg=FOLDER (for data with boxes '
            'only, use configs/_base_/models/htc++_without-mask.py with '
            'configs/_base_/datasets/own_boxes.py).'
        )
    folder = os.path.join(dataset.get('data_root') or '', folder)
    if is_local(dataset.get('backend_args')) and '://' not in folder and not os.path.isdir(folder):
        return f'{key}.data_prefix.seg={folder!r}: there is no such folder.'
    steps = as_list(dataset.get('pipeline') or [])
    if steps and not any(_loads_maps(step) for step in steps):
        return f'{key}.pipeline loads no maps; set with_seg=True in LoadAnnotations.'
    return None


def _loads_maps(step: Mapping) -> bool:
    kind = step.get('type', '')
    is_panoptic = 'Panoptic' in getattr(kind, '__name__', kind)
    return step.get('with_seg', is_panoptic)


def _without(model: Mapping, key: str, dataset: Mapping, filename: str | None) -> str:
    folder, name = os.path.split(filename or '')
    sibling = os.path.join(folder, name.replace('htc++_', 'htc++-without-semantic_', 1))
    if sibling != filename and os.path.isfile(sibling):
        return f'use {sibling}.'
    options = ['model.roi_head.semantic_head=None', 'model.roi_head.semantic_roi_extractor=None']
    options += [f'{name}.pad_seg=False' for name, step in _paddings(model) if step.get('pad_seg')]
    prefix = dataset.get('data_prefix')
    if isinstance(prefix, Mapping) and 'seg' in prefix:  # mmengine rejects None as a path
        others = {name: path for name, path in prefix.items() if name != 'seg'}
        key = re.sub(r'\[(\d+)\]', r'.\1', key) + '.data_prefix'
        options += [f'{key}.{name}={path}' for name, path in dict(_delete_=True, **others).items()]
    return f'set --cfg-options {" ".join(options)}'
