"""Heads that classify: which they are, and whether they have as many classes as the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..config_parts import type_name
from ..errors import ConfigError, truncate

EDGE_HEADS = ('STDCHead',)  # of mmseg; they learn object boundaries
OTHER_HEADS = ('roi_head', 'rpn_head', 'semantic_head')  # with classes of their own, or none


def class_heads(model: Mapping) -> Iterator[tuple[str, Any]]:
    """Keys and configs of the heads of a model that predict the classes of its data."""
    for owner, parts in (('model', model), ('model.roi_head', model.get('roi_head') or {})):
        for name, heads in parts.items():
            if not name.endswith('head') or name in OTHER_HEADS:
                continue
            numbered = isinstance(heads, (list, tuple))
            for i, head in enumerate(heads if numbered else [heads]):
                is_other = (head or {}).get('class_agnostic') or type_name(head) in EDGE_HEADS
                if 'num_classes' in (head or {}) and not is_other:
                    yield f'{owner}.{name}.{i}' if numbered else f'{owner}.{name}', head


def check_heads(model: Mapping, key: str, classes: Sequence[str]) -> None:
    """Compare `num_classes` of every head with the classes of the dataset at `key`.

    Raises:
        ConfigError: Some differ; gives the options that fix all of them.
    """
    wrong = {
        f'{name}.num_classes': head['num_classes']
        for name, head in class_heads(model)
        if head['num_classes'] != len(classes)
    }
    if wrong:
        name, number = next(iter(wrong.items()))
        options = ' '.join(f'{name}={len(classes)}' for name in wrong)
        raise ConfigError(
            f'{name}={number}, but {key} has {len(classes)} classes: {truncate(classes)}. Set its '
            f'metainfo=dict(classes=...), or the heads with --cfg-options {options}'
        )
