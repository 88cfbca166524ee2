"""The arguments that the class or function of a config's `type` accepts."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from mmengine.utils import ManagerMixin
from torch import nn


def accepted(kind: Callable) -> frozenset[str] | None:
    """Names of the keyword arguments of a class or function; None if it accepts any.

    If `__init__` passes its `**kwargs` only to `super().__init__`, the arguments of the next class
    in the MRO count, too, and so on.
    """
    names, takes_any = arguments(kind)
    return None if takes_any else names


@functools.cache
def arguments(kind: Callable) -> tuple[frozenset[str], bool]:
    """Names of the explicit keyword arguments, and whether others are accepted as well."""
    if not inspect.isclass(kind):
        names, rest = _named(kind)
        return names or frozenset(), names is None or rest is not None
    found: set[str] = {'name'} if issubclass(kind, ManagerMixin) else set()
    takes_any = False
    for base in kind.__mro__:
        if base is object or base is nn.Module:  # both reject other arguments
            break
        init = base.__dict__.get('__init__')
        if init is None:
            continue
        names, rest = _named(init)
        taken = _taken(init, rest, base.__name__) if rest else None
        found |= (names or frozenset()) | (taken or set())
        takes_any = names is None or (rest is not None and taken is None)
        if takes_any or rest is None:
            break
    return frozenset(found - {'self'}), takes_any


def _named(function: Callable) -> tuple[frozenset[str] | None, str | None]:
    """Argument names of a function (None if unknown), and the name of its `**kwargs`."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return None, None
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    rest = [p.name for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD]
    return frozenset(p.name for p in parameters if p.kind in kinds), (rest or [None])[0]


def _taken(init: Callable, rest: str, owner: str) -> set[str] | None:
    """Names that an `__init__` reads from its `**rest`; None if `rest` may go anywhere else.

    Passing it to `super().__init__(**rest)` is allowed.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init)))
    except (OSError, TypeError, SyntaxError):
        return None
    uses = sum(isinstance(node, ast.Name) and node.id == rest for node in ast.walk(tree))
    passed, taken = 0, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_super_init(node.func, owner):
            values = [word.value for word in node.keywords if word.arg is None]
            passed += sum(_is_name(value, rest) for value in values)
        name = _literal_access(node, rest)
        if name is not None:
            taken.add(name)
            uses -= 1
    return taken if passed and uses == passed else None


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_super_init(function: ast.AST, owner: str) -> bool:
    """Whether it is `super().__init__`, and not `super(OTHER, self).__init__`."""
    return (
        isinstance(function, ast.Attribute)
        and function.attr == '__init__'
        and isinstance(function.value, ast.Call)
        and _is_name(function.value.func, 'super')
        and all(_is_name(of, owner) for of in function.value.args[:1])
    )


def _literal_access(node: ast.AST, rest: str) -> str | None:
    """NAME in `rest.pop('NAME', ...)`, `rest['NAME']`, `'NAME' in rest` and similar."""
    literal: Any = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        reads = node.func.attr in ('pop', 'get', 'setdefault')
        literal = node.args[0] if reads and _is_name(node.func.value, rest) else None
    elif isinstance(node, ast.Subscript) and _is_name(node.value, rest):
        literal = node.slice
    elif isinstance(node, ast.Compare) and _is_name(node.comparators[0], rest):
        literal = node.left
    is_text = isinstance(literal, ast.Constant) and isinstance(literal.value, str)
    return literal.value if is_text else None
