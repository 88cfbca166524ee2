"""Read the config that mmengine stores as text in a checkpoint, without executing it.

A checkpoint is data, possibly from strangers, and a config is a Python program. So only what
mmengine writes is accepted: assignments of literals and of dict(key=literal).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError


def stored_config(checkpoint: object, source: str) -> dict[str, Any] | None:
    """The config in a checkpoint of mmengine, as plain data; None if it has none.

    Args:
        checkpoint: What `read_checkpoint_file` returns.
        source: Its name, for messages.

    Raises:
        CheckpointError: The config is anything but literals.
    """
    if not isinstance(checkpoint, Mapping):
        return None
    hub = checkpoint.get('message_hub')
    info = hub.get('runtime_info') if isinstance(hub, Mapping) else None
    for part in (checkpoint.get('meta'), info):
        text = part.get('cfg') if isinstance(part, Mapping) else None
        if isinstance(text, str) and text.strip():
            return parse_config(text, source)
    return None


def parse_config(text: str, source: str) -> dict[str, Any]:
    """Assignments of literals as a dict.

    Raises:
        CheckpointError: Any other statement or expression; names its line.
    """
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f'the config stored in {source} cannot be read: {error}') from error
    found = {}
    for node in body:
        try:
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                raise ValueError
            found[node.targets[0].id] = _value(node.value)
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(
                f'the config stored in {source} is more than data (line {node.lineno}), so it is '
                'not used; give the config: CONFIG.py CHECKPOINT'
            ) from error
    return found


def _value(node: ast.expr) -> Any:
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = dict(List=list, Tuple=tuple, Set=set)[type(node).__name__]
        return kind(map(_value, node.elts))
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}  # type: ignore[arg-type]
    is_dict = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    if is_dict and node.func.id == 'dict' and not node.args:  # type: ignore[attr-defined]
        return {_name(k): _value(k.value) for k in node.keywords}  # type: ignore[attr-defined]
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):
        return float(node.id)
    return ast.literal_eval(node)


def _name(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError
    return keyword.arg
