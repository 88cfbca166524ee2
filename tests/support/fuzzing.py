"""Properties that are held against many generated cases, and against known ones by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy


def amounts(few: int, many: int) -> pytest.MarkDecorator:
    """Parametrize a test by `examples`: few in every run, many with --slow."""
    slow = pytest.param(many, marks=pytest.mark.slow)
    return pytest.mark.parametrize('examples', [few, slow])


def for_all(
    cases: SearchStrategy, check: Callable[[Any], None], examples: int, known: Sequence[Any] = ()
) -> None:
    """Call `check`, which raises where the property fails, on `known` and generated cases.

    The generated cases are the same in each run. A case that fails is made small, and printed.
    """
    for case in known:
        check(case)
    rules = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    rules(given(cases)(check))()
