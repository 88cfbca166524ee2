"""Train SwinV2 on small generated datasets.

In a checkout it runs the files in tools/; from an installed package, `python -m swinv2_dense`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import config_path
from ..checks.paths import check_writable
from ..errors import ConfigError
from ..quickstart.examples import EXAMPLES, Example, Results
from .options import quickstart_parser

PARENT = Path(__file__).resolve().parents[2]
IS_CHECKOUT = (PARENT / 'tools/train.py').is_file()
ROOT = PARENT if IS_CHECKOUT else Path.cwd()  # where commands run
DATA_ROOT = ROOT / 'data'  # the one that the configs name


def main(argv: Sequence[str] | None = None) -> None:
    """`quickstart.py [flags]`. Exits with status 1 if a model misses its target."""
    args = quickstart_parser().parse_args(argv)
    args.data_root = args.data_root or DATA_ROOT
    work_dir = (args.work_dir or ROOT / 'work_dirs/quickstart').resolve()
    check_writable('--work-dir', work_dir)
    reached = [run_example(EXAMPLES[name], args, work_dir / name) for name in args.task]
    sys.exit(0 if all(reached) else 1)


def command(name: str) -> list[str]:
    """What follows `python` to run a command."""
    return [f'tools/{name}.py'] if IS_CHECKOUT else ['-m', 'swinv2_dense', name]


def config(path: str) -> str:
    """A config of the package, as one would type it."""
    return path if IS_CHECKOUT else config_path(path.removeprefix('configs/'))


def short(path: Path) -> str:
    """A path as one would type it in `ROOT`, where the commands run."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def show(line: str, progress: Callable[[str], str | None]) -> None:
    """Print what a line of a command's log says about its progress; most lines say nothing."""
    if found := re.search(r'Iter\(train\) \[ *(\d+/\d+)\].* eta: (\S+).* loss: (\S+)', line):
        print(f'  iteration {found[1]}, loss {float(found[3]):.2f}, {found[2]} left', flush=True)
    elif metrics := progress(line):
        print(f'  on unseen data: {metrics}', flush=True)


def execute(log: Path, progress: Callable[[str], str | None], *command: str | Path) -> None:
    """Run a command as a user would, with its output in `log` and its progress on the screen."""
    words = [short(word) if isinstance(word, Path) else word for word in command]
    print(f'\n$ python {shlex.join(words)}\n  (output in {short(log)})', flush=True)
    # The operators are too small to share: a second thread gains 15 % on idle cores, and on busy
    # ones its spinning makes a step ten times slower.
    environment = {'OMP_NUM_THREADS': '1', **os.environ}
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open('w') as file,
        subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout:
            file.write(line)
            show(line, progress)
    if process.returncode:
        print(''.join(log.read_text().splitlines(keepends=True)[-15:]), file=sys.stderr)
        sys.exit(f'quickstart: {shlex.join(words[:3])} failed; the end of {log} is above.')


def newest(folder: Path, pattern: str) -> Path:
    """The file of the latest run below a work dir: mmengine names a folder for each by its time."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def write_data(task: Example, args: argparse.Namespace, root: Path) -> None:
    numbers = dict(train=args.train_samples, val=args.val_samples)
    spec = task.spec(args.seed, **{k: v for k, v in numbers.items() if v is not None})
    try:
        written = task.write(root, spec)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error
    print(
        f'Data: {spec.train} training and {spec.val} validation {task.samples} of {task.content}, '
        f'{"generated" if written else "generated earlier"} in {short(root)}'
    )


def train_and_test(
    task: Example, args: argparse.Namespace, root: Path, work_dir: Path
) -> tuple[Path, Results]:
    """The last checkpoint and the metrics of its tests, by their names.

    The predictions of a test are in a folder of `work_dir` with its name.
    """
    options = task.data_options(root) if args.data_root.resolve() != DATA_ROOT else []
    options += [f'randomness.seed={args.seed}', *args.cfg_options]
    train = [*command('train'), config(task.config), '--work-dir', work_dir]
    execute(work_dir / 'train.log', task.progress, *train, '--cfg-options', *options)
    checkpoint, results = Path((work_dir / 'last_checkpoint').read_text()), {}
    for name, path in task.tests.items():
        folder = work_dir / name
        flags, more = task.test_arguments(folder / 'predictions')
        test = [*command('test'), config(path), checkpoint, '--work-dir', folder, *flags]
        execute(work_dir / f'{name}.log', task.progress, *test, '--cfg-options', *options, *more)
        results[name] = json.loads(newest(folder, '*/*.json').read_text())
    return checkpoint, results


def run_example(task: Example, args: argparse.Namespace, work_dir: Path) -> bool:
    """Whether the model reached its target."""
    start, root = time.monotonic(), args.data_root.resolve() / task.data
    target = task.target if args.target is None else args.target
    write_data(task, args, root)
    print(f'Model: {task.model}')
    checkpoint, results = train_and_test(task, args, root, work_dir)
    task.draw(root, work_dir)
    task.draw_curves(newest(work_dir, '*/vis_data/scalars.json'), work_dir / 'curves.png', target)
    reached = task.reached(results, target)
    seconds = round(time.monotonic() - start)
    record = dict(seconds=seconds, target=target, reached=reached, figures=task.figures(results))
    (work_dir / 'results.json').write_text(json.dumps({**record, 'metrics': results}))
    minutes, seconds = divmod(seconds, 60)
    pictures = {**task.pictures, 'curves of loss and metric': 'curves.png'}
    files = {**{what: work_dir / name for what, name in pictures.items()}, 'checkpoint': checkpoint}
    listed = '\n'.join(f'  {what:<30}{short(path)}' for what, path in files.items())
    next_commands = '\n'.join(
        f'  python {shlex.join([*command(name), config(task.next_config)])}'
        for name in task.next_commands
    )
    print(f"""
{task.table(results)}

{'Reached' if reached else 'MISSED'} the target of {target:.2f} for {task.metric} in \
{minutes} min {seconds} s.
{listed}
Next: {task.next_data}, laid out as data/README.md says. {task.next_steps}:
{next_commands}
""")
    return reached
