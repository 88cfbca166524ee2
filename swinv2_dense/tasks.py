"""The table of tasks, by the `default_scope` of configs.

A task of your own is a subclass of `task.Task`, registered by a module that its configs list in
`custom_imports`:

    register_task('my_library', MyTask())

Bare names in such a config are looked up in the registries of `my_library` (its module `registry`,
see `registry.child_registries`) and then in mmengine's, where this package's backbones, hooks and
optimizers are. A task without a library may use the scope 'swinv2_dense'.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from .errors import ConfigError
from .task import Task

# Modules with the task as `TASK`; imported on demand, because each imports its library.
MODULES = {
    'mmdet': 'swinv2_dense.det.task',
    'mmseg': 'swinv2_dense.seg.task',
    'mmaction': 'swinv2_dense.video.task',
    'swinv2_classification': 'swinv2_dense.classification.task',
    'swinv2_pretraining': 'swinv2_dense.pretraining.task',
}
TASKS: dict[str, Task] = {}


def register_task(scope: str, task: Task) -> None:
    """Assign a task to configs with `default_scope=scope`; replaces an earlier one."""
    TASKS[scope] = task


def scopes() -> list[str]:
    """The scopes of all tasks."""
    return [*MODULES, *(scope for scope in TASKS if scope not in MODULES)]


def task_of(cfg: Mapping) -> Task:
    """The task of a config; imports its library and this package's extensions.

    Raises:
        ConfigError: No task is registered for the config's `default_scope`.
    """
    scope = cfg.get('default_scope')
    if scope not in TASKS and scope in MODULES:
        register_task(scope, importlib.import_module(MODULES[scope]).TASK)
    if scope not in TASKS:
        raise ConfigError(
            f'default_scope={scope!r} of {getattr(cfg, "filename", None) or "the config"}: set it '
            f'to the library of the model, one of {", ".join(scopes())}, or add a module that '
            'registers a task to custom_imports'
        )
    return TASKS[scope]
