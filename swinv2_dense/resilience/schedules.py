"""Schedules that fit the length of a run.

A config sets the ends of its schedules separately from the length of the run. With just a shorter
run (`train_cfg.max_iters=30`), the learning rate would never fall, the warm-up would never end, or
mmengine would reject a schedule that begins after the end.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.runner import EpochBasedTrainLoop

from ..config_parts import type_name

ENDLESS = 10**9  # mmengine's `end` of a schedule without one
WARM_UP = 0.1  # fraction of the run for a warm-up that would exceed the run
LENGTHS = ('T_max', 'total_steps')  # from `begin` to the intended end of the schedule
RELATIVE = ('Linear', 'Constant')  # prefixes of schedulers that may warm up


class RunLength(NamedTuple):
    """Length of a run and of an epoch, in iterations."""

    iterations: int
    epoch_length: int

    def of(self, schedule: Mapping) -> float:
        """Length of the run in the unit of a schedule."""
        if schedule.get('by_epoch', True):
            return self.iterations / self.epoch_length
        return self.iterations


def fit_schedules(schedules: Any, run: RunLength, stretch: bool = False) -> tuple[Any, list[str]]:
    """Scale the configs of parameter schedulers that extend beyond the end of a run.

    All are scaled by the same factor, so that the last one ends with the run. A warm-up that would
    still exceed the run gets a tenth of it. Schedules that would begin after the end are dropped.

    Args:
        schedules: A config, a list of configs, or a dict of lists, one per optimizer.
        run: Length of the run.
        stretch: Also scale up schedules that end before the run does.

    Returns:
        The schedules, unchanged if they fit, and a line for each change.
    """
    if isinstance(schedules, Mapping) and 'type' not in schedules:
        fitted = {name: fit_schedules(part, run, stretch) for name, part in schedules.items()}
        lines = [f'{name}: {line}' for name, (_, lines) in fitted.items() for line in lines]
        return {name: part for name, (part, _) in fitted.items()}, lines
    given = [schedules] if isinstance(schedules, Mapping) else schedules
    if not isinstance(given, Sequence) or not all(isinstance(part, Mapping) for part in given):
        return schedules, []
    fitted, lines = [], []
    scale = _Scale(given, run, stretch)
    for part in given:
        new = scale.apply(part)
        if new is None:
            lines.append(f'{describe(part)} is dropped')
        else:
            fitted.append(new)
            if new != part:
                lines.append(f'{describe(part)} becomes {describe(new)}')
    return (fitted, lines) if lines else (schedules, [])


class _Scale:
    """Maps the times of a list of schedules to those of a run."""

    def __init__(self, schedules: Sequence[Mapping], run: RunLength, stretch: bool) -> None:
        self.run = run
        body = [part for part in schedules if not is_warm_up(part)]
        factors = [run.of(part) / end for part in body if (end := end_of(part))]
        if min(factors, default=1.0) > 1:  # the last milestone alone is not the end
            ended = [part for part in body if has_end(part) or not part.get('milestones')]
            factors = [run.of(part) / end for part in ended if (end := end_of(part))]
        self.factor = min(factors, default=1.0)
        if self.factor > 1 and not stretch:
            self.factor = 1.0
        # Per unit (epochs or iterations), because times of different units are never compared.
        self.warm_ends: dict[bool, float] = {}
        for part in schedules:
            if is_warm_up(part) and end_of(part):
                unit = part.get('by_epoch', True)
                self.warm_ends[unit] = max(self.warm_ends.get(unit, 0), end_of(part))
        self.shrink = {unit: self._shrink(unit, body) for unit in self.warm_ends}

    def _shrink(self, unit: bool, body: Sequence[Mapping]) -> float:
        """An additional factor for times up to the end of the warm-up."""
        end, length = self.warm_ends[unit] * self.factor, self.run.of(dict(by_epoch=unit))
        begins = [part.get('begin', 0) for part in body if part.get('by_epoch', True) == unit]
        follows = self.warm_ends[unit] in begins
        if self.factor != 1.0 and not begins:  # warm-up in iterations, the rest in epochs
            length, follows = length / 2, False
        if end < length or (end == length and not follows):
            return 1.0
        length = self.run.of(dict(by_epoch=unit))
        return WARM_UP * length / end

    def at(self, time: float, schedule: Mapping) -> float:
        """Map a time of a schedule to the new run."""
        unit = schedule.get('by_epoch', True)
        warm_end, shrink = self.warm_ends.get(unit, 0), self.shrink.get(unit, 1.0)
        if time == 0 or self.factor == shrink == 1.0:
            return time
        scaled = time * self.factor * (shrink if time <= warm_end else 1.0)
        if time == warm_end:  # a warm-up of one step never leaves its first value
            least = 2 / self.run.epoch_length if unit and is_converted(schedule) else 2
            scaled = max(scaled, least)
        return scaled if is_converted(schedule) else round(scaled)

    def apply(self, schedule: Mapping) -> Mapping | None:
        """Map a schedule to the new run; None if it would begin after the end."""
        begin = schedule.get('begin', 0)
        new_begin = self.at(begin, schedule)
        if new_begin >= self.run.of(schedule):
            return None
        new = copy.deepcopy(dict(schedule))
        if new_begin != begin:
            new['begin'] = new_begin
        given = schedule.get('end')
        if has_end(schedule):
            least = 1 / self.run.epoch_length if is_converted(schedule) else 1
            new['end'] = max(self.at(given, schedule), new_begin + least)
        factor = self.factor
        if factor == 1.0 and new_begin != begin and end_of(schedule):  # only its begin has changed
            factor = (end_of(schedule) - new_begin) / (end_of(schedule) - begin)
        if factor != 1.0:
            self._scale_lengths(schedule, new, factor)
        return type(schedule)(new)

    def _scale_lengths(self, schedule: Mapping, new: dict, factor: float) -> None:
        def length(value: float) -> float:
            scaled = value * factor
            return scaled if is_converted(schedule) else max(1, round(scaled))

        for key in LENGTHS:
            if schedule.get(key):
                end = self.at(schedule.get('begin', 0) + schedule[key], schedule)
                new[key] = max(end - new.get('begin', 0), length(0)) or 1
        if schedule.get('step_size'):
            new['step_size'] = length(schedule['step_size'])
        if schedule.get('periods'):
            new['periods'] = [length(value) for value in schedule['periods']]
        if schedule.get('milestones'):
            last = new['end'] - new.get('begin', 0) - 1 if 'end' in new else None
            scaled = [length(value) for value in schedule['milestones']]
            if last is not None and not is_converted(schedule):
                scaled = [max(1, min(value, last)) for value in scaled]
            new['milestones'] = scaled
        if type_name(schedule).startswith('Exponential') and 'gamma' in schedule:
            new['gamma'] = schedule['gamma'] ** (1 / factor)


def fit_run(loop: Any) -> None:
    """Fit the schedules of a loop's runner to the length of the loop.

    mmengine builds the loop before the schedulers, so the runner still holds their configs.
    """
    runner, epoch_length = loop.runner, len(loop.dataloader)
    limit = loop.max_epochs if isinstance(loop, EpochBasedTrainLoop) else loop.max_iters
    if loop.val_begin > limit and runner._val_loop is not None:
        runner.logger.warning(
            f'train_cfg.val_begin={loop.val_begin} is after the end of the run, {limit}: '
            'validating at the end only.'
        )
        loop.val_begin = limit
    if not epoch_length:
        return
    run = RunLength(int(loop.max_iters), epoch_length)
    stretch = bool(runner.cfg.get('fit_schedule'))
    runner.param_schedulers, lines = fit_schedules(runner.param_schedulers, run, stretch)
    if lines:
        runner.logger.warning(
            f'The run of {run.iterations} iterations ({epoch_length} per epoch) differs in length '
            f'from the schedules of its config, which are scaled: {"; ".join(lines)}.'
        )
    elif fit_schedules(runner.param_schedulers, run, stretch=True)[1]:
        runner.logger.warning(
            'The schedules of the config end before the run does, and the learning rate then keeps '
            'its last value; --fit-schedule stretches them.'
        )


def is_warm_up(schedule: Mapping) -> bool:
    """Whether a schedule raises a parameter from the first step."""
    rises = schedule.get('end_factor', 1.0) >= schedule.get('start_factor', 0.0)
    return type_name(schedule).startswith(RELATIVE) and not schedule.get('begin') and rises


def is_converted(schedule: Mapping) -> bool:
    """Whether its epochs are converted to iterations, and so may be fractions."""
    return bool(schedule.get('convert_to_iter_based'))


def end_of(schedule: Mapping) -> float | None:
    """Intended end of a schedule; None if it ends with the run."""
    begin, end = schedule.get('begin', 0), schedule.get('end')
    if has_end(schedule):
        return end
    for key in LENGTHS:
        if schedule.get(key):
            return begin + schedule[key]
    if schedule.get('periods'):
        return begin + sum(schedule['periods'])
    if schedule.get('milestones'):
        return begin + max(schedule['milestones']) + 1
    return None


def has_end(schedule: Mapping) -> bool:
    return schedule.get('end') is not None and schedule['end'] < ENDLESS


def describe(schedule: Mapping) -> str:
    """Describe a schedule: `MultiStepLR from 0 to 12 epochs, milestones [8, 11]`."""
    unit = 'epochs' if schedule.get('by_epoch', True) else 'iterations'
    end = schedule.get('end')
    shown = f'{end:g} {unit}' if has_end(schedule) else 'the end'
    text = f'{type_name(schedule)} from {schedule.get("begin", 0):g} to {shown}'
    for key in (*LENGTHS, 'step_size', 'periods', 'milestones'):
        if schedule.get(key):
            text += f', {key} {schedule[key]}'
    return text
