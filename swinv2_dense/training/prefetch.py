"""Download the checkpoints that a run reads before its processes are connected.

Later, the other processes wait in a collective for the one that initializes the model, and a
download may take longer than the timeout of that collective.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..checkpoints.fetching import fetch, is_remote
from ..config_parts import type_name


def prefetch(cfg: Mapping, training: bool) -> None:
    """Download the checkpoints that a config names by URL or `hf://`; every process calls this.

    Args:
        training: Also download those of each `init_cfg`, which tests do not read.

    Raises:
        CheckpointError: See `fetch`; raised in every process.
    """
    names = [cfg.get('load_from'), *(_pretrained(cfg.get('model')) if training else ())]
    for name in dict.fromkeys(names):  # each once
        if isinstance(name, str) and is_remote(name):
            fetch(name)


def _pretrained(part: Any) -> Iterator[Any]:
    """Checkpoints of `init_cfg` and `pretrained` at any depth of a model's config."""
    if isinstance(part, Mapping):
        if type_name(part) in ('Pretrained', 'PretrainedInit'):
            yield part.get('checkpoint')
        yield part.get('pretrained')
        for inner in part.values():
            yield from _pretrained(inner)
    elif isinstance(part, (list, tuple)):
        for inner in part:
            yield from _pretrained(inner)
