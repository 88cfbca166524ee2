"""The hooks that the commands add to every run, and the config entry that controls them.

`added_hooks` of a config maps the name of a hook to False, which disables it, or to a dict of its
arguments. A saved config lists all of them:

    added_hooks = dict(NonFiniteHook=dict(max_in_a_row=20), StartReportHook=False)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from ..checks.names import suggestion
from ..config_parts import type_name
from ..errors import ConfigError
from ..task import Task

KEY = 'added_hooks'
RENAMED = {  # names in configs that earlier versions saved
    'Fp32BordersHook': 'DetectorFp32Hook',
    'MissedValidationHook': 'PendingValidationHook',
}
# mmengine sorts hooks by `priority`, and calls those of equal priority in this order. Data is
# checked before weights are read, and both before anything is reported.
FIRST = ('CheckFilesHook',)  # the data checks of the task follow
THEN = (
    'BackboneWeightsHook',
    'LoadReportHook',
    'ResultsHook',
    'ExpectedValuesHook',
    'ResumeSettingsHook',
    'StartReportHook',
    'CheckBatchNormHook',
    'UndefinedMetricsHook',
    'ResumeHook',
    'PreemptionHook',
    'PendingValidationHook',
    'CheckpointClassesHook',
    'DataFaultsHook',
    'NonFiniteHook',
)


def add_hooks(cfg: Config, task: Task) -> None:
    """Add the hooks of every run to `custom_hooks`, as `added_hooks` of the config says.

    A hook that is already in `custom_hooks` is not added again.

    Raises:
        ConfigError: `added_hooks` has an unknown name, or a value that is not a dict or a bool.
    """
    names = [*FIRST, *task.check_hooks, *THEN, *task.model_hooks]
    given = dict(cfg.get(KEY) or {})
    for name, value in given.items():
        if name not in names:
            raise ConfigError(
                f'{KEY}.{name}: no hook of this name is added to runs{suggestion(name, names)}'
            )
        if not isinstance(value, (bool, Mapping)):
            raise ConfigError(f'{KEY}.{name}={value!r} must be False, or a dict of its arguments')
    settings: dict[str, Any] = {name: given.get(name, True) for name in names}
    hooks = list(cfg.get('custom_hooks') or [])
    for hook in hooks:
        if type_name(hook) in RENAMED:
            hook['type'] = RENAMED[type_name(hook)]
    dropped = {name for name, value in settings.items() if value is False}
    hooks = [hook for hook in hooks if type_name(hook) not in dropped]
    present = {type_name(hook): hook for hook in hooks}
    defaults = {'StartReportHook': dict(samples=task.samples)}
    for name in names:
        own = settings[name] if isinstance(settings[name], Mapping) else {}
        if name in present:
            present[name].update(own)
        elif name not in dropped:
            hooks.append(ConfigDict(type=name, **{**defaults.get(name, {}), **own}))
    cfg.custom_hooks = hooks
    cfg[KEY] = ConfigDict(settings)
