"""Resuming with settings that differ from those of the checkpoint.

mmengine loads the state of the optimizer and of the schedules, which includes their settings: a new
learning rate or run length in the config has no effect on them, and a schedule that has ended stays
at its last value, often zero. Differences are logged, and `fit_schedule` applies the new settings.
"""

from __future__ import annotations

import ast
import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

COMPARED = ('train_cfg', 'optim_wrapper', 'param_scheduler', 'train_dataloader')
LOADED = ('optim_wrapper.optimizer', 'optim_wrapper.paramwise_cfg', 'param_scheduler')
IGNORED = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'val_interval')
SHOWN = 12


@HOOKS.register_module()
class ResumeSettingsHook(Hook):
    """Compare the settings of a resumed run with those of its checkpoint.

    With `fit_schedule=True` in the config (`--fit-schedule`), the optimizer gets the settings of
    the config, and the schedules are those of the config for the length of this run, advanced to
    the iteration of the checkpoint.
    """

    priority = 'HIGH'

    def __init__(self) -> None:
        self.differences: list[str] = []
        self.fresh: list[tuple[list, list]] = []

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        # mmengine loads the states of optimizer and schedules after this. So the settings of the
        # config are copied now, and put back in `before_train`.
        if not runner._resume:
            return
        takes_new = bool(runner.cfg.get('fit_schedule'))
        stored = read_settings(checkpoint.get('meta', {}).get('cfg') or '')
        if stored:
            self.differences = list(differences(stored, runner.cfg, takes_new))
        if takes_new:
            self.fresh = [_state(*part) for part in _parts(runner)]

    def before_train(self, runner: Any) -> None:
        for (wrapper, schedulers), (groups, states) in zip(_parts(runner), self.fresh):
            for group, settings in zip(wrapper.param_groups, groups):
                group.update(settings)
            for scheduler, state in zip(schedulers, states):
                if not hasattr(scheduler, 'best'):  # ReduceOnPlateau depends on past metrics
                    scheduler.load_state_dict(state)
            move_to(runner, schedulers)
        lines = self.differences[:SHOWN]
        if len(self.differences) > SHOWN:
            lines.append(f'and {len(self.differences) - SHOWN} more')
        if runner._resume and not self.fresh:
            lines += _ended(runner)
        if lines:
            shown = '\n'.join(f'  {line}' for line in lines)
            runner.logger.warning(f'Settings differ from those of the checkpoint:\n{shown}')
        self.fresh = []


def move_to(runner: Any, schedulers: list) -> None:
    """Advance schedulers that are at the start to the current iteration, step by step."""
    schedulers = [scheduler for scheduler in schedulers if not hasattr(scheduler, 'best')]
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    length = len(runner.train_loop.dataloader)
    for step in range(1, runner.iter + 1):
        ends_epoch = by_epoch and step % length == 0 and step // length <= runner.epoch
        for scheduler in schedulers:
            if not scheduler.by_epoch or ends_epoch:
                scheduler._global_step = max(scheduler._global_step, 0)
                scheduler.optimizer._global_step = 0  # else torch warns of the order of steps
                scheduler.step()


def _parts(runner: Any) -> Iterator[tuple[OptimWrapper, list]]:
    """Each optimizer with its schedulers."""
    wrapper, schedulers = runner.optim_wrapper, runner.param_schedulers or []
    if isinstance(wrapper, OptimWrapperDict):
        for name, one in wrapper.items():
            yield one, schedulers.get(name, []) if isinstance(schedulers, Mapping) else schedulers
    elif isinstance(wrapper, OptimWrapper):
        yield wrapper, list(schedulers)


def _state(wrapper: OptimWrapper, schedulers: list) -> tuple[list, list]:
    """Copies of the settings of an optimizer and its schedulers."""
    groups = [{k: v for k, v in g.items() if k != 'params'} for g in wrapper.param_groups]
    return copy.deepcopy(groups), [dict(scheduler.state_dict()) for scheduler in schedulers]


def _ended(runner: Any) -> Iterator[str]:
    """A line for each optimizer whose schedules end before the run does."""
    loop = runner.train_loop
    for wrapper, schedulers in _parts(runner):
        units = [len(loop.dataloader) if s.by_epoch else 1 for s in schedulers]
        end = max((s.end * unit for s, unit in zip(schedulers, units)), default=loop.max_iters)
        if end < loop.max_iters:
            rate = max(group['lr'] for group in wrapper.param_groups)
            now = f', {rate:g}' if runner.iter >= end else ''
            yield (
                f'the schedules of the checkpoint end at iteration {end} of {loop.max_iters}; the '
                f'learning rate keeps its last value{now}. --fit-schedule uses the settings and '
                'schedules of the config, for the full length'
            )


def differences(stored: Mapping, cfg: Mapping, takes_new: bool) -> Iterator[str]:
    """The settings that differ, and which of the two values is used."""
    old, new = (
        dict(flattened({key: part.get(key) for key in COMPARED})) for part in (stored, _plain(cfg))
    )
    for key in sorted(old.keys() | new.keys()):
        if key.startswith('train_cfg.micro_batches'):  # follow from the number of processes
            continue
        if key.rpartition('.')[2] in IGNORED or old.get(key) == new.get(key):
            continue
        loaded = key.startswith(LOADED) and not takes_new
        outcome = 'ignored: the checkpoint decides' if loaded else 'used from here on'
        yield f'{key}: {_shown(old, key)} -> {_shown(new, key)}, {outcome}'


def _shown(settings: Mapping, key: str) -> str:
    text = repr(settings[key]) if key in settings else 'not set'
    return text if len(text) <= 60 else f'{text[:57]}...'


def flattened(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts and lists with dotted keys, as in --cfg-options."""
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(part, Mapping) for part in value):
        items = enumerate(value)
    else:
        yield name, list(value) if isinstance(value, tuple) else value
        return
    for key, part in items:
        yield from flattened(part, f'{name}.{key}' if name else str(key))


def _plain(cfg: Mapping) -> dict:
    """A config with classes and functions replaced by their names, as in its text."""
    return read_settings(cfg.pretty_text) if hasattr(cfg, 'pretty_text') else dict(cfg)


def read_settings(text: str) -> dict[str, Any]:
    """The compared settings in the text of a config, as mmengine stores it in checkpoints.

    The text is parsed, not executed. Anything but literals and `dict(...)` stays a string.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return {}
    assigned = (node for node in tree.body if isinstance(node, ast.Assign))
    pairs = itertools.chain.from_iterable(
        ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        for node in assigned
    )
    return {name: _value(node) for name, node in pairs if name in COMPARED}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {ast.unparse(k).strip('\'"'): _value(v) for k, v in zip(node.keys, node.values) if k}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(part) for part in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
