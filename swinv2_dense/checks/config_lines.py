"""Find the file and line of a config, or of one of its bases, where a key is set."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from .config_file import bases_of, short_path


class Origin(NamedTuple):
    """Where a config came from: its file, and the keys that --cfg-options set."""

    filename: str | None
    options: Collection[str] = ()

    def __call__(self, path: Sequence[str | int]) -> str:
        """Where a key was set, as the beginning of a message."""
        key = '.'.join(map(str, path))
        if any(key == name or key.startswith(f'{name}.') for name in self.options):
            return '--cfg-options '
        place = where(self.filename, path)
        return f'{place}: ' if place else ''


def where(filename: str | None, path: Sequence[str | int]) -> str:
    """`FILE, line N` of the dict entry at a path of keys and indices; '' if it cannot be found.

    Args:
        filename: The config; its bases are searched after it.
        path: Such as ('model', 'backbone', 'type').
    """
    for file, tree in _sources(filename, set()) if filename else ():
        variables = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        line = _line(variables, path)
        if line:
            return f'{short_path(file)}, line {line}'
    return ''


def _sources(file: str, seen: set[str]) -> Iterator[tuple[str, ast.Module]]:
    """A file and its bases, parsed. Files that do not parse, such as templates, are skipped."""
    if file in seen:
        return
    seen.add(file)
    try:
        with open(file, encoding='utf-8') as opened:
            yield file, ast.parse(opened.read())
    except (OSError, SyntaxError, ValueError):
        return
    for base in bases_of(file):
        yield from _sources(base, seen)


def _line(variables: dict[str, ast.AST], path: Sequence[str | int]) -> int | None:
    node, line = variables.get(str(path[0])), None
    for step in path[1:]:
        while isinstance(node, ast.Name):
            node = variables.get(node.id)
        entry = _entry(node, step)
        if entry is None:
            return None
        node, line = entry, entry.lineno
    return line if len(path) > 1 else getattr(node, 'lineno', None)


def _entry(node: ast.AST | None, step: str | int) -> ast.AST | None:
    """The value at a key or an index of a dict or list literal."""
    if isinstance(node, (ast.List, ast.Tuple)):
        plain = not any(isinstance(element, ast.Starred) for element in node.elts)
        inside = plain and isinstance(step, int) and step < len(node.elts)
        return node.elts[step] if inside else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        return next((word.value for word in node.keywords if word.arg == step), None)
    if isinstance(node, ast.Dict):
        keys = [getattr(key, 'value', None) for key in node.keys]
        return node.values[keys.index(step)] if step in keys else None
    return None
