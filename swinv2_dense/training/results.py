"""The final metrics of a run."""

from __future__ import annotations

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ..tables import text_table


@HOOKS.register_module()
class ResultsHook(Hook):
    """Log a table of the final metrics, and the folder with the files of the run."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_val_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        self.metrics = dict(metrics or {})

    def after_test_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        self.metrics = dict(metrics or {})

    @master_only
    def after_run(self, runner: Any) -> None:
        if self.metrics:
            runner.logger.info(f'Results\n{metrics_table(self.metrics)}')
        runner.logger.info(f'Checkpoints, logs and results are in {runner.work_dir}')


def metrics_table(metrics: dict[str, float]) -> str:
    """Two aligned columns between rules: names and values."""
    rows = [(k, f'{v:.4f}' if isinstance(v, float) else v) for k, v in metrics.items()]
    lines = text_table(rows, left=(0, 1)).splitlines()
    rule = '-' * max(map(len, lines))
    return '\n'.join(f'  {line}' for line in [rule, *lines, rule])
