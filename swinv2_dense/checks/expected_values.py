"""The metrics that a config expects of a test: published values, or goals.

    expected = dict(metric='accuracy/top1', value=81.8, tolerance=0.1, source='MODELHUB.md')

`expected` is one dict or a list of them:

- metric: name of a metric of the test evaluator, `value` and the like are in its unit
- value, tolerance: the result and the largest difference from it; or one of the goals at_least and
  at_most
- source: who published the value, or where it was measured
- tta: whether it is that of a test with --tta; default False
- checkpoint: name of the only file that it is for, without folder and suffix; default any

Configs that derive from one with `expected` inherit it; `expected = None` removes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..config_parts import as_list
from ..errors import ConfigError
from .metric_names import metric_names
from .names import suggestion

KEY = 'expected'


@dataclass(frozen=True)
class ExpectedValue:
    """An entry of `expected`; the docstring of this module has the meaning of its fields."""

    metric: str
    source: str
    value: float | None = None
    tolerance: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    tta: bool = False
    checkpoint: str | None = None

    @property
    def reference(self) -> float:
        """What a measured value is compared with."""
        return next(v for v in (self.value, self.at_least, self.at_most) if v is not None)

    def includes(self, measured: float) -> bool:
        """Whether a measured value is within the tolerance, or reaches the goal.

        Decimal fractions such as 81.9 - 81.8 exceed 0.1 by rounding, hence the slack of 1e-9.
        """
        if self.tolerance is not None:
            return abs(measured - self.reference) <= self.tolerance + 1e-9
        return measured >= self.reference if self.at_most is None else measured <= self.reference

    def applies(self, release: str, tta: bool) -> bool:
        """Whether it is meant for a test of that file, by its name, with or without --tta."""
        return self.tta == tta and self.checkpoint in (None, release)

    def __str__(self) -> str:
        if self.tolerance is not None:
            return f'{self.value:g} +- {self.tolerance:g}'
        return f'at {"least" if self.at_most is None else "most"} {self.reference:g}'


def expected_values(cfg: Mapping) -> list[ExpectedValue]:
    """The entries of a config.

    Raises:
        ConfigError: One of them has an unknown or missing key, or a value of the wrong type.
    """
    entries = cfg.get(KEY)
    if entries is None:
        return []
    is_one = isinstance(entries, Mapping)
    return [
        _entry(KEY if is_one else f'{KEY}[{i}]', entry) for i, entry in enumerate(as_list(entries))
    ]


def check_expected_values(cfg: Mapping, loaders: tuple[str, ...] = ('test',)) -> None:
    """Check types, and that the test evaluator reports the metrics, as far as that is known.

    Args:
        cfg: A config.
        loaders: Those that the command uses; without 'test' only types are checked.

    Raises:
        ConfigError: See `expected_values`; also lists the metrics that are reported.
    """
    known: list[str] = []
    for evaluator in as_list(cfg.get('test_evaluator') or []):
        names = metric_names(evaluator) if isinstance(evaluator, Mapping) else None
        if names is None or evaluator.get('classwise'):  # others, and those of classes
            known.clear()
            break
        known += names
    for entry in expected_values(cfg):
        if 'test' in loaders and known:
            check_metric(entry, known)


def check_metric(entry: ExpectedValue, known: list[str]) -> None:
    """Raise unless a test reports the metric of an entry.

    Raises:
        ConfigError: It is not in `known`.
    """
    if entry.metric not in known:
        raise ConfigError(
            f'{KEY}: the test reports no metric {entry.metric!r}'
            f'{suggestion(entry.metric, known)}; it reports {", ".join(sorted(known)) or "none"}'
        )


def _entry(key: str, entry: Any) -> ExpectedValue:
    names = [field.name for field in fields(ExpectedValue)]
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f'{key}={entry!r} must be a dict such as dict(metric=NAME, value=1.0, tolerance=0.1, '
            'source=TEXT)'
        )
    for name in entry:
        if name not in names:
            raise ConfigError(
                f'{key}.{name}={entry[name]!r}: there is no such key'
                f'{suggestion(str(name), names) or "; there are " + ", ".join(names)}'
            )
    for name, kind in (('metric', str), ('source', str), ('checkpoint', str), ('tta', bool)):
        value = entry.get(name)
        if value is None and name in ('metric', 'source'):
            raise ConfigError(f'{key} needs {name}, a text')
        if value is not None and not (isinstance(value, kind) and value != ''):
            raise ConfigError(f'{key}.{name}={value!r} must be a {kind.__name__}')
    for name in ('value', 'tolerance', 'at_least', 'at_most'):
        value = entry.get(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (is_number and math.isfinite(value)):
            raise ConfigError(f'{key}.{name}={value!r} must be a finite number')
    given = [name for name in ('value', 'at_least', 'at_most') if entry.get(name) is not None]
    if len(given) != 1 or (entry.get('tolerance') is not None) != (given == ['value']):
        raise ConfigError(
            f'{key} needs value and tolerance, or at_least, or at_most; it has '
            f'{", ".join(k for k in names[2:6] if entry.get(k) is not None) or "none of them"}'
        )
    if (entry.get('tolerance') or 0) < 0:
        raise ConfigError(f'{key}.tolerance={entry["tolerance"]!r} must not be negative')
    return ExpectedValue(**{k: v for k, v in entry.items() if v is not None})
