"""Registries of the scope 'swinv2_dense', for configs whose task has no library of its own.

They are empty: mmengine looks in them first and then in its own registries, where everything of
this package is registered. Without them it would log a warning for every name.
"""

from __future__ import annotations

import sys
from types import ModuleType

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry


def child_registries(scope: str) -> list[Registry]:
    """An empty child of each of mmengine's registries; the caller must keep a reference to them.

    mmengine imports `SCOPE.registry` before it looks up a name, so a package of your own calls this
    in its `registry.py`.
    """
    roots = [root for root in vars(mmengine_registry).values() if isinstance(root, Registry)]
    return [Registry(root.name, parent=root, scope=scope) for root in roots]


def scope_registries(scope: str) -> list[Registry]:
    """`child_registries` for a scope that is not a package, such as one of our tasks."""
    name = f'{scope}.registry'  # which mmengine imports, as if the scope were a package
    sys.modules.setdefault(name, ModuleType(name))
    return child_registries(scope)


CHILDREN = child_registries('swinv2_dense')
