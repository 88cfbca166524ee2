"""The heads of a model that tell classes apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..config_parts import type_name

EDGE_HEADS = ('STDCHead',)  # of mmseg; they learn where objects end


OTHER_HEADS = ('roi_head', 'rpn_head', 'semantic_head')  # with classes of their own, or none


def class_heads(model: Mapping) -> Iterator[tuple[str, Any]]:
    """The heads of a detector or segmentor that tell the classes of its data apart, with keys."""
    for owner, parts in (('model', model), ('model.roi_head', model.get('roi_head') or {})):
        for name, heads in parts.items():
            if not name.endswith('_head') or name in OTHER_HEADS:
                continue
            numbered = isinstance(heads, (list, tuple))
            for i, head in enumerate(heads if numbered else [heads]):
                is_other = (head or {}).get('class_agnostic') or type_name(head) in EDGE_HEADS
                if 'num_classes' in (head or {}) and not is_other:
                    yield f'{owner}.{name}.{i}' if numbered else f'{owner}.{name}', head
