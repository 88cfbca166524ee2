"""How much the metrics of the quickstart vary over seeds and over CPU instruction sets.

Instruction sets differ in rounding only, which is enough to change the course of a training. Users
run the quickstart once, on one machine, so every run has to reach the target.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from ..choices import NATIVE
from ..tables import text_table

Record = dict[str, Any]  # of a finished run: its SpreadRun and the content of results.json


class SpreadRun(NamedTuple):
    """An example, the seed of its data and training, and ATEN_CPU_CAPABILITY or NATIVE."""

    task: str
    seed: int
    capability: str

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f'{self.task}_seed-{self.seed}_{self.capability}'


def plan_runs(
    tasks: Sequence[str], seeds: Sequence[int], capabilities: Sequence[str]
) -> list[SpreadRun]:
    """All combinations, in an order that covers all capabilities early."""
    return [SpreadRun(*combination) for combination in product(tasks, seeds, capabilities)]


def read_records(file: Path) -> dict[SpreadRun, Record]:
    """The finished runs in a file of `append_record`. A truncated line is skipped."""
    records = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        records[SpreadRun(*(record[field] for field in SpreadRun._fields))] = record
    return records


def append_record(file: Path, record: Record) -> None:
    """Append a line of JSON; it starts a new line if the last one was truncated."""
    is_truncated = file.exists() and not f'\n{file.read_text()}'.endswith('\n')
    with file.open('a') as stream:
        stream.write(f'{chr(10) * is_truncated}{json.dumps(record)}\n')


def execute(run: SpreadRun, quickstart: Sequence[str], work_dir: Path) -> Record | None:
    """Run the quickstart with its output in quickstart.log; None if it failed."""
    folder = work_dir / run.name
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / run.task / 'results.json'
    results.unlink(missing_ok=True)  # of an earlier attempt
    environment = dict(os.environ, ATEN_CPU_CAPABILITY=run.capability)
    if run.capability == NATIVE:
        del environment['ATEN_CPU_CAPABILITY']
    arguments = [
        *('--task', run.task, '--seed', str(run.seed), '--work-dir', folder),
        *('--data-root', folder / 'data'),
    ]
    with (folder / 'quickstart.log').open('w') as log:
        subprocess.run(  # noqa: S603  this package's command, without a shell
            [*quickstart, *arguments],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return {**run._asdict(), **json.loads(results.read_text())} if results.exists() else None


def measure(
    runs: Iterable[SpreadRun], quickstart: Sequence[str], work_dir: Path, jobs: int = 1
) -> list[Record]:
    """Records of `runs`, without those that failed. Runs in spread.jsonl are not repeated."""
    runs, file = list(runs), work_dir / 'spread.jsonl'
    known = read_records(file)
    missing = [run for run in runs if run not in known]
    print(f'{file}: {len(runs) - len(missing)} of {len(runs)} runs are done', flush=True)

    def finish(run: SpreadRun) -> None:
        if record := execute(run, quickstart, work_dir):
            append_record(file, record)
            figures = ', '.join(f'{name} {value:.3f}' for name, value in record['figures'].items())
            print(f'{run.name}: {"reached" if record["reached"] else "MISSED"}, {figures}')
        else:
            print(f'{run.name}: failed, see {work_dir / run.name / "quickstart.log"}')
        sys.stdout.flush()

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(finish, missing))
    known = read_records(file)
    return [known[run] for run in runs if run in known]


def table(records: Iterable[Record]) -> str:
    """Minimum, median and maximum of every figure of every example, as text."""
    rows = []
    by_task: dict[str, list[Record]] = {}
    for record in records:
        by_task.setdefault(record['task'], []).append(record)
    for task, own in by_task.items():
        reached = f'{sum(record["reached"] for record in own)} of {len(own)}'
        columns = {name: [r['figures'][name] for r in own] for name in own[0]['figures']}
        for name, values in {**columns, 'minutes': [r['seconds'] / 60 for r in own]}.items():
            spread = min(values), statistics.median(values), max(values)
            rows.append([f'{task}: {name}', reached, *(f'{value:.3f}' for value in spread)])
    return text_table(rows, ['', 'reached', 'min', 'median', 'max'])
