"""The table of tasks, by the `default_scope` of configs.

A task of your own is a subclass of `task.Task`, registered by a module that its configs name in
`custom_imports`:

    register_task('my_library', MyTask())

Bare names in such a config are looked up in the registries of `my_library`, if it has any, and
then in mmengine's, where this package's backbones, hooks and optimizers are. Configs without a
library of their own use the scope 'swinv2_dense'.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from .errors import ConfigError
from .task import Task

# Imported when a config needs them, because each imports its library; `TASK` is the task.
MODULES = {
    'mmdet': 'swinv2_dense.det.task',
    'mmseg': 'swinv2_dense.seg.task',
    'mmaction': 'swinv2_dense.video.task',
}
TASKS: dict[str, Task] = {}


def register_task(scope: str, task: Task) -> None:
    """Let configs with `default_scope=scope` be of a task; replaces one of the same scope."""
    TASKS[scope] = task


def scopes() -> list[str]:
    """The scopes of all tasks."""
    return [*MODULES, *(scope for scope in TASKS if scope not in MODULES)]


def task_of(cfg: Mapping) -> Task:
    """The task of a config. Its library, and this package's extensions of it, are imported.

    Raises:
        ConfigError: There is none for the config's `default_scope`.
    """
    scope = cfg.get('default_scope')
    if scope not in TASKS and scope in MODULES:
        register_task(scope, importlib.import_module(MODULES[scope]).TASK)
    if scope not in TASKS:
        raise ConfigError(
            f'default_scope={scope!r} of {getattr(cfg, "filename", None) or "the config"}: set '
            f'the library of its model, one of {", ".join(scopes())}'
        )
    return TASKS[scope]
