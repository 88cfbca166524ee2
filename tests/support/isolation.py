"""Runs in one process that know nothing of each other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import pytest
from mmengine.registry import DefaultScope
from mmengine.utils import ManagerMixin


def forget_runs(patch: pytest.MonkeyPatch) -> None:
    """Hide loggers, message hubs and visualizers of earlier runs, until the patch is undone.

    mmengine names them after the second in which a run starts. A run that starts in the same second
    as an earlier one would log into the files, and to the terminal, of that one.
    """
    for kind in _kinds(ManagerMixin):
        if kind is not DefaultScope:
            patch.setattr(kind, '_instance_dict', OrderedDict())


def _kinds(base: type) -> Iterator[type]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)
