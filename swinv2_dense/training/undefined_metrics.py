"""Report undefined metrics: nan, or the -1 of COCO's AP."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ..checks.main_metric import main_metric

COCO = re.compile(r'(\b|_)(m?A[PR])(\b|_|@)')  # -1 if the data has no such objects


@HOOKS.register_module()
class UndefinedMetricsHook(Hook):
    """Warn if the main metric is undefined, and list other undefined metrics."""

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        _tell(runner.logger, 'val_dataloader', metrics or {})

    def after_test_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        _tell(runner.logger, 'test_dataloader', metrics or {})


def undefined(metrics: Mapping[str, Any]) -> list[str]:
    """Names of the undefined metrics, in their order."""
    return [name for name, value in metrics.items() if _is_undefined(name, value)]


def _is_undefined(name: str, value: Any) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return math.isnan(number) or (number == -1 and COCO.search(name) is not None)


def _tell(logger: Any, loader: str, metrics: Mapping[str, float]) -> None:
    names = undefined(metrics)
    if not names:
        return
    main = main_metric(metrics)
    if main in names:
        logger.warning(
            f'{main} is undefined ({metrics[main]}): {loader}.dataset has no objects or labels of '
            'the classes to compare predictions with'
        )
    others = [name for name in names if name != main]
    if others:
        logger.info(
            f'Undefined, because the data has no such objects or labels: {", ".join(others)}'
        )
