"""The config of a checkpoint, for commands that are given only the checkpoint.

It is what training stored in the file. That text is data from wherever the file is from, so it is
parsed instead of executed, only the keys for inference are used, and every type in it must be
registered: mmengine would otherwise import any dotted name and call it.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine import registry as registries
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner.checkpoint import _load_checkpoint

from ..checkpoints.stored_config import parse_config, stored_config
from ..checks.config_file import import_custom_modules
from ..errors import CheckpointError, ConfigError
from ..export.reading import is_exported, open_exported
from ..tasks import task_of
from .common import complete_config, read_config

KEPT = ('default_scope', 'model', 'test_dataloader', 'test_evaluator', 'tta_model', 'tta_pipeline')
LIBRARIES = ('swinv2_dense', 'mmdet', 'mmseg', 'mmaction', 'mmpretrain')
GIVE = 'give the config: CONFIG.py CHECKPOINT INPUT'


def config_of_checkpoint(
    checkpoint: str, options: dict[str, Any] | None, parts: list[str]
) -> tuple[Config, str]:
    """The config stored in a checkpoint, else the one next to it, and where it is from.

    Args:
        checkpoint: A path, URL or `hf://owner/name`, or an exported file.
        options: Merged into it, see `read_config`.
        parts: The top-level keys that are checked.

    Raises:
        CheckpointError: The checkpoint cannot be read, or its config is not plain data.
        ConfigError: There is no config, or several, or it cannot be used.
    """
    if is_exported(checkpoint):
        found = parse_config(open_exported(checkpoint).metadata.config, checkpoint)
    else:
        found = stored_config(_load_checkpoint(checkpoint, map_location='cpu'), checkpoint)
    if found is not None:
        cfg = Config({key: found[key] for key in KEPT if key in found})
        imports = (found.get('custom_imports') or {}).get('imports') or []
        names = [imports] if isinstance(imports, str) else list(imports)
        ours = [name for name in names if str(name).partition('.')[0] in LIBRARIES]
        import_custom_modules(checkpoint, dict(imports=ours))
        task_of(cfg)
        _check_registered(cfg, checkpoint, sorted(map(str, set(names) - set(ours))))
        return complete_config(cfg, options, parts), f'stored in {checkpoint}'
    beside = sorted(Path(checkpoint).expanduser().parent.glob('*.py'))
    if len(beside) == 1:
        return read_config(str(beside[0]), options, parts), str(beside[0])
    listed = f' ({", ".join(path.name for path in beside[:4])})' if beside else ''
    raise ConfigError(
        f'{checkpoint} holds no config, and {len(beside) or "none"} lie next to it{listed}; {GIVE}'
    )


def _check_registered(cfg: Config, source: str, not_imported: list[str]) -> None:
    registered = set(_registered(cfg.default_scope))
    scopes = (*LIBRARIES, 'mmengine', 'mmcv')
    for kind in _types(cfg._cfg_dict):
        scope, _, name = str(kind).rpartition('.')
        if not isinstance(kind, str) or name not in registered or scope not in ('', *scopes):
            reason = (
                f' (its modules {", ".join(not_imported)} are not imported)' if not_imported else ''
            )
            raise CheckpointError(
                f'the config stored in {source} has type={kind!r}, which is not registered'
                f'{reason}; {GIVE}'
            )


def _registered(scope: str) -> Iterator[str]:
    """Names in all registries of mmengine and the imported libraries, and operators of mmcv.

    mmdet looks up RoI operators in mmcv.ops, and mmcv evaluates the type of NMS as Python.
    """
    yield from importlib.import_module('mmcv.ops').__all__
    pending = [root for root in vars(registries).values() if isinstance(root, Registry)]
    while pending:
        registry = pending.pop()
        if registry.scope == scope:
            with contextlib.suppress(ImportError):  # mmaction2 names a module that does not exist
                registry.import_from_location()
        yield from registry.module_dict
        pending += registry.children.values()


def _types(node: Any) -> Iterator[Any]:
    """All values of `type`, but those of names that are data."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == 'type':
                yield value
            elif key not in ('metainfo', 'meta'):
                yield from _types(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _types(value)
