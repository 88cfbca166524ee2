"""Write a page about a test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import collect_results, is_main_process
from mmengine.hooks import Hook

from .page import Page, write_page
from .reporter import Reporter


class ReportHook(Hook):
    """Collect records of all samples of a test, and write the page and the records.

    Args:
        folder: For `index.html` and `records.json`.
        reporter: That of the task.
        facts: Pairs at the top of the page.
    """

    def __init__(self, folder: Path, reporter: Reporter, facts: Sequence[tuple[str, str]]) -> None:
        self.folder, self.reporter, self.facts = folder, reporter, list(facts)
        self.records: list[dict] = []

    def before_test_epoch(self, runner: Any) -> None:
        self.records = []

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        self.records += [self.reporter.record(sample.cpu().to_dict()) for sample in outputs or []]

    def after_test_epoch(self, runner: Any, metrics: Mapping | None = None) -> None:
        count = len(runner.test_dataloader.dataset)
        records = collect_results(self.records, count, device='cpu')
        if is_main_process():
            page = write_report(self.folder, self.reporter, records, self.facts)
            runner.logger.info(f'Wrote the report {page}')


def write_report(
    folder: Path,
    reporter: Reporter,
    records: Sequence[Mapping],
    facts: Sequence[tuple[str, str]],
) -> Path:
    """Write the page of a test and its records; returns the path of the page."""
    facts = [*facts, ('Samples', f'{len(records):,}')]
    title = f'Test of {dict(facts).get("Checkpoint", "a model")}'
    page = Page(title, facts, reporter.blocks(records))
    return write_page(page, folder, {'records.json': json.dumps(list(records)).encode()})
