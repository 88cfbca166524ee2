"""Bring the checkpoints that a run reads onto this machine, before its processes are joined.

A download may take longer than the timeout of a collective, in which the other processes would wait
for the one that initializes the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..checkpoints.fetching import fetch, is_remote
from ..config_parts import type_name


def prefetch(cfg: Mapping, training: bool) -> None:
    """Download what a config names by URL or `hf://`; every process of the run calls this.

    Args:
        training: Whether the model is initialized, so that each `init_cfg` is read.

    Raises:
        CheckpointError: See `fetch`; each process raises it.
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
