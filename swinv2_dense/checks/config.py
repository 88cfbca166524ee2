"""Find mistakes in a config before anything slow starts, and report them in one sentence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import MODELS

from ..arguments import pretrained
from ..choices import IMAGENET_1K_ROWS
from ..config_parts import as_list, is_local, loaded_datasets
from ..errors import ConfigError
from .building import check_transforms
from .class_heads import class_heads
from .class_lengths import check_class_weights
from .expected_values import check_expected_values
from .loaders import check_loaders
from .metric_names import check_metric_names

BACKBONES = tuple(
    f'{kind}SwinTransformerV{version}'
    for version in (2, 1)
    for kind in ('', 'Video', 'LowRank', 'LowRankVideo')
)
RUN_BY_READING = ('.pkl', '.pickle', '.yaml', '.yml')
KEEP_CHANNELS = ('GlobalAttention',)  # parts of a neck with as many output as input channels


def check_config(cfg: Mapping, loaders: tuple[str, ...]) -> None:
    """Check the model, the checkpoints and the data of `loaders` ('train', 'val', 'test').

    Raises:
        ConfigError: The first thing found wrong.
    """
    model = cfg.get('model', {})
    model = model.get('module', model)  # within test-time augmentation
    backbone = model.get('backbone') or {}
    if str(backbone.get('type', '')).split('.')[-1] in BACKBONES:
        _check_channels(model, _build_on_meta(backbone))
    check_expected_values(cfg, loaders)
    _check_file('load_from', cfg.get('load_from'))
    check_loaders(cfg, loaders)
    if 'val' in loaders:
        check_metric_names(cfg)
    if 'train' in loaders:  # testing initializes nothing
        settings = pretrained(backbone.get('init_cfg'))
        _check_file('model.backbone.init_cfg.checkpoint', settings and settings.checkpoint)
        whole = model.get('init_cfg')  # of a classifier
        for name in ('checkpoint', 'head_rows') if isinstance(whole, Mapping) else ():
            if whole.get(name) != IMAGENET_1K_ROWS:
                _check_file(f'model.init_cfg.{name}', whole.get(name))
    for name in loaders:
        for key, dataset in loaded_datasets(cfg, (name,)):
            check_transforms(
                f'{key}.pipeline',
                dataset.get('pipeline'),
                dataset.get('_scope_') or cfg['default_scope'],
            )
            _check_dataset(key, dataset)
        for evaluator in as_list(cfg.get(f'{name}_evaluator')):
            if isinstance(evaluator, Mapping):
                _check_evaluator(name, evaluator)
    for key, head in class_heads(model):
        check_class_weights(key, head)


def _build_on_meta(backbone: Mapping) -> Any:
    """Build the backbone without allocating memory, which checks its arguments."""
    settings = {key: value for key, value in backbone.items() if key not in ('init_cfg', '_scope_')}
    try:
        with torch.device('meta'):
            return MODELS.build(dict(settings))
    except (TypeError, ValueError) as error:
        # mmengine puts the class and its file before the message.
        raise ConfigError(f'model.backbone: {str(error).partition(".py: ")[2] or error}') from error


def _check_channels(model: Mapping, backbone: Any) -> None:
    """Compare the input channels of the neck, or of each head, with the backbone's output."""
    channels = backbone.out_channels
    given = f'model.backbone returns maps of {channels} channels'
    if model.get('neck'):
        is_chain = isinstance(model['neck'], (list, tuple))
        for i, neck in enumerate(as_list(model['neck'])):
            taken = neck.get('in_channels')
            if isinstance(taken, (list, tuple)) and sorted(taken) != sorted(channels):
                key = f'model.neck[{i}]' if is_chain else 'model.neck'
                raise ConfigError(f'{key}.in_channels={list(taken)}, but {given}; make them equal')
            if str(neck.get('type')).split('.')[-1] not in KEEP_CHANNELS:
                break  # parts after it take other maps
        return
    for name in ('decode_head', 'auxiliary_head', 'cls_head', 'head'):
        for head in as_list(model.get(name) or []):
            taken = as_list(head.get('in_channels', []))
            everything = list(range(len(channels)))  # mmseg's Mask2Former has no in_index
            index = as_list(head.get('in_index', everything if len(taken) > 1 else -1))
            if any(not -len(channels) <= i < len(channels) for i in index):
                raise ConfigError(f'model.{name}.in_index={index}, but {given}')
            fits = [channels[i] for i in index]
            if taken and taken != fits:
                raise ConfigError(
                    f'model.{name}.in_channels={taken} with in_index={index}, but {given}; '
                    f'it must be {fits}'
                )


def _check_dataset(key: str, dataset: Mapping) -> None:
    for name in ('ann_file', 'proposal_file'):
        _refuse_code(f'{key}.{name}', dataset.get(name))
    if not is_local(dataset.get('backend_args')):
        return
    root = dataset.get('data_root') or ''
    ann_file = dataset.get('ann_file')
    prefix = dataset.get('data_prefix') or {}
    parts = [ann_file, *(prefix.values() if isinstance(prefix, Mapping) else [prefix])]
    parts = [part for part in parts if part]
    if not parts or not all(isinstance(part, str) and os.path.isabs(part) for part in parts):
        _check_file(f'{key}.data_root', root, 'folder')
    if isinstance(ann_file, str) and ann_file:
        _check_file(f'{key}.ann_file', os.path.join(root, ann_file))
    for name, folder in prefix.items() if isinstance(prefix, Mapping) else ():
        if isinstance(folder, str) and folder:
            _check_file(f'{key}.data_prefix.{name}', os.path.join(root, folder), 'folder')


def _check_evaluator(loader: str, evaluator: Mapping) -> None:
    key, path = f'{loader}_evaluator.ann_file', evaluator.get('ann_file')
    _refuse_code(key, path)
    if is_local(evaluator.get('backend_args')):
        _check_file(key, path)


def _refuse_code(key: str, path: Any) -> None:
    """Refuse formats that mmengine reads by executing their content."""
    if isinstance(path, str) and path.lower().endswith(RUN_BY_READING):
        raise ConfigError(
            f'{key}={path!r}: reading pickle or YAML executes the code in it; save the content as '
            '.json (lists of file names as .txt)'
        )


def _check_file(key: str, path: str | None, kind: str = 'file') -> None:
    """Local paths must exist; others are not checked."""
    if not path or '://' in path or ':s3' in path or path.startswith('s3:'):
        return
    path = os.path.expanduser(path)
    if os.path.isdir(path) if kind == 'folder' else os.path.exists(path):
        return
    remedy = (
        'data/README.md shows the layout of the datasets'
        if 'dataset' in key or 'evaluator' in key
        else 'download it, or fix the path'
    )
    raise ConfigError(
        f'{key}={path!r}: there is no such {kind}. Set it in the config or with '
        f'--cfg-options {key}=PATH; {remedy}.'
    )
