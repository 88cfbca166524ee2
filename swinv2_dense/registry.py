"""Registries of the scope 'swinv2_dense', for configs whose task has no library of its own.

They hold nothing: with `default_scope = 'swinv2_dense'` mmengine looks here first, and then in its
own registries, where everything of this package is registered. Without them it would warn at every
name.
"""

from __future__ import annotations

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry

CHILDREN = [
    Registry(root.name, parent=root, scope='swinv2_dense')
    for root in vars(mmengine_registry).values()
    if isinstance(root, Registry)
]
