"""Train SwinV2 on small generated datasets, by the commands that a user would type."""

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

from ..checks.paths import check_writable
from ..errors import ConfigError
from ..quickstart.examples import EXAMPLES, Example, Results
from .checkout import ROOT, command_words, config_name, short_path
from .options import quickstart_parser

DATA_ROOT = ROOT / 'data'  # of the configs


def main(argv: Sequence[str] | None = None) -> None:
    """`quickstart [flags]`. Exits with status 1 if a model misses its target."""
    args = quickstart_parser().parse_args(argv)
    args.data_root = args.data_root or DATA_ROOT
    work_dir = (args.work_dir or ROOT / 'work_dirs/quickstart').resolve()
    check_writable('--work-dir', work_dir)
    reached = [run_example(EXAMPLES[name], args, work_dir / name) for name in args.task]
    sys.exit(0 if all(reached) else 1)


def run_example(example: Example, args: argparse.Namespace, work_dir: Path) -> bool:
    """Generate the data, train, test and draw; returns whether the model reached its target."""
    start, root = time.monotonic(), args.data_root.resolve() / example.data
    target = example.target if args.target is None else args.target
    write_data(example, args, root)
    print(f'Model: {example.model}')
    checkpoint, results = train_and_test(example, args, root, work_dir)
    example.draw(root, work_dir)
    log = newest(work_dir / example.trainings[0].folder, '*/vis_data/scalars.json')
    example.draw_curves(log, work_dir / 'curves.png', target)
    reached = example.reached(results, target)
    seconds = round(time.monotonic() - start)
    record = dict(seconds=seconds, target=target, reached=reached, figures=example.figures(results))
    (work_dir / 'results.json').write_text(json.dumps({**record, 'metrics': results}))
    minutes, seconds = divmod(seconds, 60)
    pictures = {**example.pictures, 'curves of loss and metric': 'curves.png'}
    files = {**{what: work_dir / name for what, name in pictures.items()}, 'checkpoint': checkpoint}
    listed = '\n'.join(f'  {what:<30}{short_path(path)}' for what, path in files.items())
    next_commands = '\n'.join(
        f'  python {shlex.join([*command_words(name), config_name(example.next_config)])}'
        for name in example.next_commands
    )
    print(f"""
{example.table(results)}

{'Reached' if reached else 'MISSED'} the target of {target:.2f} for {example.metric} in \
{minutes} min {seconds} s.
{listed}
Next: {example.next_data}, in the layout of data/README.md. {example.next_steps}:
{next_commands}
{example.own_data}
""")
    return reached


def write_data(example: Example, args: argparse.Namespace, root: Path) -> None:
    """Generate the dataset of an example, unless it exists.

    Raises:
        ConfigError: `root` holds other data, or cannot be written.
    """
    numbers = dict(train=args.train_samples, val=args.val_samples)
    spec = example.spec(args.seed, **{k: v for k, v in numbers.items() if v is not None})
    try:
        written = example.write(root, spec)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error
    print(
        f'Data: {spec.train} training and {spec.val} validation {example.samples} of '
        f'{example.content}, {"generated" if written else "generated earlier"} in '
        f'{short_path(root)}'
    )


def train_and_test(
    example: Example, args: argparse.Namespace, root: Path, work_dir: Path
) -> tuple[Path, Results]:
    """The last checkpoint of the first training, and the metrics of each test by its name.

    The predictions of a test are in the folder of `work_dir` with its name.
    """
    checkpoints, results = [], {}
    options = example.data_options(root) if args.data_root.resolve() != DATA_ROOT else []
    options += [f'randomness.seed={args.seed}', *args.cfg_options]
    for training in example.trainings:
        folder = work_dir / training.folder
        own = [*options, f'{training.start}={checkpoints[0]}'] if training.start else options
        train = [*command_words('train'), config_name(training.config), '--work-dir', folder]
        execute(folder / 'train.log', example.progress, *train, '--cfg-options', *own)
        checkpoints.append(Path((folder / 'last_checkpoint').read_text()))
        for name, path in training.tests.items():
            run = [*command_words('test'), config_name(path), checkpoints[-1]]
            flags, more = example.test_arguments(name, work_dir / name / 'predictions')
            run += ['--work-dir', work_dir / name, *flags, '--cfg-options', *own, *more]
            execute(work_dir / f'{name}.log', example.progress, *run)
            results[name] = json.loads(newest(work_dir / name, '*/*.json').read_text())
    return checkpoints[0], results


def execute(log: Path, progress: Callable[[str], str | None], *command: str | Path) -> None:
    """Run a command with its output in `log`, and print its progress."""
    words = [short_path(word) if isinstance(word, Path) else word for word in command]
    print(f'\n$ python {shlex.join(words)}\n  (output in {short_path(log)})', flush=True)
    # The operators are too small for two threads: the second gains 15 % on idle cores, and on busy
    # ones its busy waiting makes a step ten times slower.
    environment = {'OMP_NUM_THREADS': '1', **os.environ}
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open('w') as file,
        subprocess.Popen(  # noqa: S603  this package's commands, without a shell
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
            show_progress(line, progress)
    if process.returncode:
        print(''.join(log.read_text().splitlines(keepends=True)[-15:]), file=sys.stderr)
        sys.exit(f'quickstart: {shlex.join(words[:3])} failed; the end of {log} is above.')


def show_progress(line: str, progress: Callable[[str], str | None]) -> None:
    """Print the progress in a line of a command's output, if there is any."""
    if found := re.search(r'Iter\(train\) \[ *(\d+/\d+)\].* eta: (\S+).* loss: (\S+)', line):
        print(f'  iteration {found[1]}, loss {float(found[3]):.2f}, {found[2]} left', flush=True)
    elif metrics := progress(line):
        print(f'  on unseen data: {metrics}', flush=True)


def newest(folder: Path, pattern: str) -> Path:
    """The file of the latest run in a work directory: mmengine makes a folder for each run."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
