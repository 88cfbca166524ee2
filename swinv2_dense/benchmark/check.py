"""Check the attention backends on a device: right numbers first, then time and memory.

Whatever happens to one backend (a missing package, memory, a crash) is a row with the reason.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from .compare import Child, ChildError, ChildKilledError
from .worker import Case

BACKENDS = ('plain', 'tiled', 'sdpa', 'triton')
WINDOWS = {'cuda': (7, 8, 12, 16, 20, 24, 32, 48, 56), 'cpu': (4, 8)}
PIXELS = {'cuda': 1024, 'cpu': 128}  # about, of an image
# 'frozen' is training with a frozen position bias, for which SDPA has a backward pass.
PHASES = ('forward', 'training', 'frozen')


class Worker(Protocol):
    """A `CheckWorker`, in this process or in its own."""

    def ask(self, command: str) -> Any:
        """Answer a request, or raise a `ChildError`."""

    def close(self) -> None:
        """End it."""


Start = Callable[[str], Worker]


@dataclass
class Settings:
    """What is checked and measured."""

    device: str
    windows: Sequence[int]
    dtypes: Sequence[str]  # that are measured; fp32 and bf16 are always checked
    phases: Sequence[str] = PHASES
    backends: Sequence[str] = BACKENDS
    peers: Sequence[str] = ()
    arch: str | dict = 't'  # of the backbone that is measured
    pixels: int | None = None  # side of the image; by default about `PIXELS`
    batch: int = 1
    with_cp: bool = False
    sequential_attention: bool = False
    least: int = 3  # timed runs, and more within
    budget: float = 0.4  # seconds
    deadline: float | None = None  # seconds after which nothing more is measured

    def side(self, window: int) -> int:
        """Pixels: whole windows in each stage, which other libraries need."""
        whole = 32 * window
        return self.pixels or whole * max(1, round(PIXELS[self.device] / whole))

    def case(self, backend: str, window: int, dtype: str, phase: str) -> Case:
        """What a worker measures."""
        return Case(
            arch=self.arch,
            size=(self.side(window),) * 2,
            window=(window,) * 2,
            phase='forward' if phase == 'forward' else 'training',
            dtype=dtype,
            weights='fp32',
            device=self.device,
            batch=self.batch,
            with_cp=self.with_cp,
            sequential_attention=self.sequential_attention,
            attention_backend=backend,
        )


class Workers:
    """One worker per library, started again after its process has ended."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._running: dict[str, Worker] = {}

    def ask(self, library: str, do: str, **arguments: Any) -> dict[str, Any]:
        """The `answer`, and a `status`: 'ok', 'failed' (a defect) or 'unavailable' (not a defect),
        the last two with a `reason`.
        """
        try:
            if library not in self._running:
                self._running[library] = self._start(library)
            answer = self._running[library].ask(json.dumps(dict(do=do, **arguments)))
        except ChildError as error:
            if worker := self._running.pop(library, None):
                worker.close()
            killed = isinstance(error, ChildKilledError)
            return dict(status='unavailable' if killed else 'failed', reason=str(error))
        if 'unavailable' in answer:
            return dict(status='unavailable', reason=answer['unavailable'])
        return dict(status='ok', answer=answer)

    def close(self) -> None:
        """End all."""
        for worker in self._running.values():
            worker.close()


def processes(device: str, folder: Path) -> Start:
    """Starts workers in processes of their own; on a CPU, Triton's kernels are interpreted there.

    Args:
        device: 'cuda' or 'cpu'.
        folder: For what they print to standard error.
    """
    environment = dict(TRITON_INTERPRET='1' if device == 'cpu' else None)
    return lambda library: Child('check_worker', [device, library], library, folder, environment)


def check(
    settings: Settings, start: Start | None = None, report: Callable[[str], None] = print
) -> dict[str, Any]:
    """Check all backends, then measure those that run.

    Args:
        settings: What.
        start: Starts the worker of a library; by default a process.
        report: Called with a line after each step.

    Returns:
        `settings`; `pixels`, the side of the image for each window; `seconds`; `errors` and
        `measurements`, rows with a `status`: 'ok', 'wrong', 'unavailable' or 'failed'.
    """
    begin = time.perf_counter()
    errors, measurements = [], []
    with tempfile.TemporaryDirectory() as folder:
        workers = Workers(start or processes(settings.device, Path(folder)))
        try:
            for row in _to_check(settings):
                errors.append(row | _checked(workers, row))
                report(_line(errors[-1], 'numbers'))
            for row in _to_measure(settings, errors):
                late = settings.deadline and time.perf_counter() - begin > settings.deadline
                found = _late(settings, row) if late else _measured(settings, workers, row)
                measurements.append(row | found)
                report(_line(measurements[-1], row['phase']))
        finally:
            workers.close()
    return dict(
        settings=asdict(settings),
        pixels=[settings.side(window) for window in settings.windows],
        errors=errors,
        measurements=measurements,
        seconds=round(time.perf_counter() - begin, 1),
    )


def _to_check(settings: Settings) -> Iterator[dict[str, Any]]:
    """Rows of `errors`. SDPA has no gradient of the position bias."""
    dtypes = dict.fromkeys(['fp32', 'bf16', *settings.dtypes])
    for window, backend, dtype in product(settings.windows, settings.backends, dtypes):
        yield dict(window=window, backend=backend, dtype=dtype, frozen=backend == 'sdpa')


def _checked(workers: Workers, row: dict[str, Any]) -> dict[str, Any]:
    found = workers.ask('ours', 'errors', **row)
    if found['status'] == 'ok':
        found['errors'] = found.pop('answer')
        name, worst = max(found['errors'].items(), key=lambda item: item[1])
        if worst > 1:
            found |= dict(status='wrong', reason=f'{name} is off by {worst:.3g} times its bound')
    return found


def _to_measure(settings: Settings, errors: Sequence[dict]) -> Iterator[dict[str, Any]]:
    """Rows of `measurements`: of our backends that run, and of other libraries.

    SDPA trains with a frozen position bias only, other libraries with one that learns. The time of
    kernels that Triton interprets means nothing.
    """
    broken = {(r['window'], r['backend']) for r in errors if r['status'] not in ('ok', 'wrong')}
    for window in settings.windows:
        models = [('ours', name) for name in settings.backends if (window, name) not in broken]
        models += [(peer, 'auto') for peer in settings.peers]
        for (library, backend), dtype, phase in product(models, settings.dtypes, settings.phases):
            interpreted = backend == 'triton' and settings.device == 'cpu'
            skipped = 'training' if backend == 'sdpa' else 'frozen' if library != 'ours' else ''
            if phase != skipped and not interpreted:
                yield dict(
                    window=window, library=library, backend=backend, dtype=dtype, phase=phase
                )


def _measured(settings: Settings, workers: Workers, row: dict[str, Any]) -> dict[str, Any]:
    case = settings.case(row['backend'], row['window'], row['dtype'], row['phase'])
    found = workers.ask(
        row['library'], 'measure', case=asdict(case), frozen=row['phase'] == 'frozen',
        least=settings.least, budget=settings.budget,
    )  # fmt: skip
    if found['status'] == 'ok':
        found |= found.pop('answer')
        found['median'] = statistics.median(found['milliseconds'])
    return found


def _late(settings: Settings, row: dict[str, Any]) -> dict[str, Any]:
    return dict(
        status='unavailable',
        reason=f'no time left after {settings.deadline:.0f} seconds; add --window {row["window"]} '
        'to measure it alone',
    )


def _line(row: dict[str, Any], what: str) -> str:
    name = row['backend'] if row.get('library', 'ours') == 'ours' else row['library']
    result = f'{row["median"]:.1f} ms' if 'median' in row else row['status']
    return f'window {row["window"]}, {name}, {row["dtype"]} {what}: {result}'
