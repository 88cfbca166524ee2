"""Compare the metrics of a test with the values that its config expects."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.registry import HOOKS

from ..checkpoints.pretrained_windows import release_name
from ..checks.expected_values import ExpectedValue, check_metric, expected_values
from ..tables import text_table

MEANING = (
    'Not as expected. Compare with the source: the number of images and classes, the order of the '
    'classes, the preprocessing, the checkpoint (docs/checkpoints.md). The exit status stays 0.'
)
HEADER = ('metric', 'measured', 'expected', 'difference', '', 'source')


@HOOKS.register_module()
class ExpectedValuesHook(Hook):
    """Log a table of measured and expected values after a test, if the config has `expected`.

    The result does not change the exit status: tests on other data are as common as those that
    reproduce a number.

    Raises:
        ConfigError: An entry is invalid, or names a metric that the test does not report.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, Any] = {}

    def after_test_epoch(self, runner: Any, metrics: dict | None = None) -> None:
        self.metrics = dict(metrics or {})

    def after_run(self, runner: Any) -> None:
        entries = expected_values(runner.cfg)
        if not self.metrics or not entries:  # no test, or one without labels
            return
        models = runner.model, getattr(runner.model, 'module', None)  # in DDP
        tta = any(isinstance(model, BaseTTAModel) for model in models)
        checkpoint = str(runner._load_from or '')
        found = [entry for entry in entries if entry.applies(release_name(checkpoint), tta)]
        for entry in found:
            check_metric(entry, list(self.metrics))
        if not is_main_process():
            return
        if not found:
            flag = 'with' if tta else 'without'
            runner.logger.info(
                f'The config has no expected values for {checkpoint or "these weights"} {flag} '
                '--tta, so nothing is compared'
            )
            return
        as_expected = all(entry.includes(self.metrics[entry.metric]) for entry in found)
        text = f'Expected values\n{comparison_table(found, self.metrics)}'
        level = logging.INFO if as_expected else logging.WARNING
        runner.logger.log(level, text if as_expected else f'{text}\n{MEANING}')


def comparison_table(entries: Sequence[ExpectedValue], metrics: Mapping[str, float]) -> str:
    """One line per entry: measured, expected, their difference, and whether that is enough."""
    rows = []
    for entry in entries:
        measured = float(metrics[entry.metric])
        verdict = {
            (True, True): 'within tolerance',
            (True, False): 'OUT OF TOLERANCE',
            (False, True): 'reached',
            (False, False): 'MISSED',
        }[entry.tolerance is not None, entry.includes(measured)]
        difference = f'{measured - entry.reference:+.4f}'
        rows.append(
            [entry.metric, f'{measured:.4f}', str(entry), difference, verdict, entry.source]
        )
    table = text_table(rows, HEADER, left=(0, 4, 5))
    return '\n'.join(f'  {line}' for line in table.splitlines())
