"""Run a case with our backbone and with other libraries, in turn, and report."""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ..choices import PEER_PACKAGES
from .peers_v1 import VIDEO_PEERS
from .worker import Case

LARGEST_DIFFERENCE = 1e-3  # relative L2 of a map, in fp32
V1_NOTE = (
    'V1: Swin Transformer V1, a different function: time and memory are compared, but not feature '
    'maps.'
)


class ChildError(RuntimeError):
    """A process could not build or run its model."""


class ChildKilledError(ChildError):
    """A process was killed, most likely because memory ran out."""


class Child:
    """A process that runs a module of this folder with the models of one library.

    Args:
        module: worker or check_worker.
        arguments: Of the module.
        library: Whose packages are importable.
        folder: For what the process prints to its standard error.
        environment: Variables to set, or None to remove one.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        library: str,
        folder: Path,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        command = [sys.executable, '-W', 'ignore', '-m', f'swinv2_dense.benchmark.{module}']
        self.name = library
        self.errors = (folder / f'{library}.stderr').open('w+')
        changes = dict(environment or {}, PYTHONPATH=os.pathsep.join(_paths(library)))
        self.process = subprocess.Popen(  # noqa: S603  this package's worker, without a shell
            [*command, *arguments],
            env={k: v for k, v in (os.environ | changes).items() if v is not None},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        try:
            self._answer()
        except ChildError:
            self.close()
            raise

    def ask(self, command: str) -> Any:
        """Send a command and wait for its answer."""
        try:
            self.process.stdin.write(command + '\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; its stderr says why
        return self._answer()

    def _answer(self) -> Any:
        for line in self.process.stdout:
            if line.startswith('@'):
                return json.loads(line[1:])
        code = self.process.wait()
        self.errors.seek(0)
        last = (self.errors.read().strip().splitlines() or ['no message'])[-1]
        if code == -9:
            raise ChildKilledError(f'{self.name} ended with status -9 (out of memory?): {last}')
        raise ChildError(f'{self.name} ended with status {code}: {last}')

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def _paths(library: str) -> list[str]:
    """The import path; tools/setup.sh installs some libraries into a folder of their own."""
    paths = [p for p in sys.path if p]
    if library in ('timm', 'mmpretrain'):
        folder = os.environ.get('SWINV2_DENSE_PEERS') or Path(sys.prefix) / 'peers'
        paths.insert(0, str(folder))
    return [str(Path(__file__).resolve().parents[2]), *paths]


def run_case(
    case: Case, peers: Sequence[str], runs: int, tolerance: float = LARGEST_DIFFERENCE
) -> list[dict[str, Any]]:
    """Rows of a case: ours against each peer, or ours alone.

    A peer whose feature maps differ by more than `tolerance` is another model: the row is an error.
    """
    rows = []
    for peer in peers or [None]:
        with tempfile.TemporaryDirectory() as name:
            rows += _run_pair(case, peer, runs, Path(name), tolerance)
    return rows


def _run_pair(
    case: Case, peer: str | None, runs: int, folder: Path, tolerance: float
) -> list[dict[str, Any]]:
    children = []
    row = dict(case=case.title, **asdict(case), against=peer)
    try:
        compares = peer is not None and case.compares_maps_with(peer)
        weights = folder / 'weights.pth' if compares else None
        for library in [peer, 'ours'] if peer else ['ours']:
            arguments = json.dumps(asdict(case)), library, str(weights or ''), peer or ''
            children.append(Child('worker', [*arguments, str(folder)], library, folder))
        if compares:
            row['difference'] = largest_difference([child.ask('maps') for child in children])
            if not row['difference'] <= tolerance:
                raise ChildError(
                    f'feature maps of {peer} and ours differ by {row["difference"]:.1e} (relative '
                    f'L2), more than {tolerance}: they are not the same model'
                )
        seconds = {child.name: [] for child in children}
        for _ in range(runs + 1):  # the first is a warm-up
            for child in children:
                seconds[child.name].append(child.ask('run'))
        for child in children:
            row[child.name] = dict(seconds=seconds[child.name][1:], peak_mb=child.ask('peak'))
    except ChildError as error:
        row['error'] = str(error)
    finally:
        for child in children:
            child.close()
    return [row]


def largest_difference(files: Sequence[str]) -> float:
    """Largest relative L2 distance over the maps of all stages."""
    theirs, ours = (torch.load(file, weights_only=True) for file in files)
    shapes = [[tuple(m.shape) for m in maps] for maps in (theirs, ours)]
    if shapes[0] != shapes[1]:
        raise ChildError(f'feature maps have the shapes {shapes[0]}, ours {shapes[1]}')
    return max(((a - b).norm() / a.norm()).item() for a, b in zip(theirs, ours))


def environment(device: str) -> dict[str, Any]:
    """Hardware and versions that the figures depend on."""
    if device == 'cuda':
        processor = torch.cuda.get_device_name()
    else:
        names = Path('/proc/cpuinfo')
        lines = names.read_text().splitlines() if names.exists() else []
        model = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
        capability = torch.backends.cpu.get_cpu_capability()
        processor = f'{model[0] if model else platform.processor()}, {capability}'
    return dict(
        processor=processor,
        threads=torch.get_num_threads(),
        cores=os.cpu_count(),
        torch=torch.__version__,
        python=platform.python_version(),
        **{name: _version(name) for name in PEER_PACKAGES.values()},
    )


def _version(package: str) -> str | None:
    for found in metadata.distributions(name=package, path=_paths('timm')):
        return found.version
    return None


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: a line with medians per case and peer, and notes."""
    lines = [
        '| case | against | seconds, theirs / ours | speed | MB above the model | memory |'
        ' difference |',
        '|---|---|---|---|---|---|---|',
        *map(line, rows),
    ]
    if any(_differs(row) for row in rows):
        lines += ['', V1_NOTE]
    return '\n'.join(lines)


def _differs(row: dict[str, Any]) -> bool:
    """Whether the peer of a row is V1 and ours is V2."""
    peer = row['against']
    return row['version'] == 2 and peer in VIDEO_PEERS


def line(row: dict[str, Any]) -> str:
    """One line of `table`."""
    peer, case = row['against'], row['case']
    if 'error' in row:
        return f'| {case} | {peer or ""} | {row["error"]} | | | | |'
    ours, theirs = row['ours'], row.get(peer)
    seconds, peak = statistics.median(ours['seconds']), ours['peak_mb']
    if theirs is None:
        return f'| {case} | | {seconds:.2f} | | {peak:.0f} | | |'
    their_seconds, their_peak = statistics.median(theirs['seconds']), theirs['peak_mb']
    difference = 'V1' if _differs(row) else f'{row["difference"]:.0e}'
    return (
        f'| {case} | {peer} | {their_seconds:.2f} / {seconds:.2f} '
        f'| {their_seconds / seconds:.2f} x | {their_peak:.0f} / {peak:.0f} '
        f'| 1/{their_peak / peak:.1f} | {difference} |'
    )


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Bars of seconds and memory per case, of ours and the peers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in rows if 'error' not in row]
    if not rows:
        return
    titles = list(dict.fromkeys(row['case'] for row in rows))
    libraries = [
        'ours',
        *(name for name in PEER_PACKAGES if any(row['against'] == name for row in rows)),
    ]
    figure = Figure(figsize=(11, 1.2 + 0.28 * len(titles) * (len(libraries) + 1)))
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, label in zip(panels, ('seconds (median)', 'peak memory above the model, MB')):
        for i, library in enumerate(libraries):
            values = {
                title: _value(
                    [r[library] for r in rows if r['case'] == title and library in r], label
                )
                for title in titles
                if any(row['case'] == title and library in row for row in rows)
            }
            places = [
                titles.index(t) + (i - (len(libraries) - 1) / 2) * 0.8 / len(libraries)
                for t in values
            ]
            bars = axes.barh(places, values.values(), 0.8 / len(libraries), label=library)
            axes.bar_label(
                bars,
                [f'{v:.0f}' if v >= 100 else f'{v:.3g}' for v in values.values()],
                padding=2,
                fontsize=8,
            )
        axes.set_xlabel(label)
        axes.set_yticks(range(len(titles)), titles, fontsize=8)
        axes.margins(x=0.15)
    panels[0].invert_yaxis()
    if len(libraries) > 1:
        panels[1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _value(figures: Sequence[dict[str, Any]], label: str) -> float:
    """Median over all runs of a library, whatever it was compared with."""
    if label.startswith('seconds'):
        return statistics.median(itertools.chain(*(f['seconds'] for f in figures)))
    return statistics.median(f['peak_mb'] for f in figures)
