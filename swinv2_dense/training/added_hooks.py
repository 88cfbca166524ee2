"""The hooks that every run of the commands gets, and the config entry that changes them.

`added_hooks` of a config maps the name of a hook to False, which leaves it out, or to a dict of
its arguments. A saved config lists all of them there:

    added_hooks = dict(NonFiniteHook=dict(patience=20), StartReportHook=False)
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
RENAMED = {  # in configs that earlier versions saved
    'Fp32BordersHook': 'DetectorFp32Hook',
    'MissedValidationHook': 'PendingValidationHook',
}
# mmengine calls hooks of equal priority in the order of this list. Data are checked before weights
# are read, and both before anything is reported. `ResumeHook` restores random states after every
# hook before it has drawn numbers; `PendingValidationHook` runs a validation with them.
FIRST = ('CheckFilesHook',)  # then the task's checks of data
THEN = (
    'BackboneWeightsHook',
    'LoadReportHook',
    'ResultsHook',
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

    A hook that is in `custom_hooks` already is not added again.

    Raises:
        ConfigError: `added_hooks` names a hook that is not added, or is neither a dict, True nor
            False.
    """
    names = [*FIRST, *task.check_hooks, *THEN, *task.model_hooks]
    given = dict(cfg.get(KEY) or {})
    for name, value in given.items():
        if name not in names:
            raise ConfigError(f'{KEY}.{name}: no such hook is added{suggestion(name, names)}')
        if not isinstance(value, (bool, Mapping)):
            raise ConfigError(f'{KEY}.{name}={value!r}: give False, or a dict of its arguments')
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
