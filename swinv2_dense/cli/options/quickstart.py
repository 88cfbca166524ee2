"""Options of the quickstart and its data."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ...choices import CPU_CAPABILITIES
from ...quickstart.goals import DEFAULT_TASKS, GOALS, Goal, ShapesSpec
from .shared import DEFAULT, command_parser


def quickstart_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Generate small datasets, train SwinV2 on them, evaluate it and draw its
predictions: HTC++ detects shapes, UperNet labels surfaces, a video SwinV2
recognizes motions. Takes ten to fifteen minutes on two CPU cores, without
downloads or a GPU. The task pretraining pre-trains SwinV2 on images without
labels (SimMIM), and compares UperNet on few labels with and without it.

Exit status: 0 if all models reach their target, 1 if one misses it, 2 for a
wrong command.
""")
    _add_task(parser)
    parser.add_argument(
        '--work-dir',
        type=Path,
        metavar='DIR',
        help='folder for results, with one folder per task (default: work_dirs/quickstart, in the '
        'repository if there is one)',
    )
    parser.add_argument(
        '--data-root',
        type=Path,
        metavar='DIR',
        help='folder for the generated data, with one folder per task (default: data, in the '
        'repository if there is one)',
    )
    for part, text in (('train', 'training'), ('val', 'validation')):
        numbers = _per_task(lambda task, part=part: getattr(task.spec, part))
        parser.add_argument(
            f'--{part}-samples',
            type=int,
            metavar='N',
            help=f'number of {text} samples (default: {numbers})',
        )
    parser.add_argument(
        '--seed', type=int, default=0, help=f'random seed of data and training {DEFAULT}'
    )
    targets = ', '.join(f'{task.target} for {task.metric}' for task in GOALS.values())
    parser.add_argument(
        '--target', type=float, metavar='METRIC', help=f'value to reach (default: {targets})'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override settings of the configs, as in train',
    )
    return parser


def quickstart_spread_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Measure how much the metrics of the quickstart vary. Runs the quickstart for
every combination of task, seed and CPU instruction set, and prints minimum,
median and maximum of each metric.

Finished runs are recorded in WORK_DIR/spread.jsonl, one line of JSON each, and
skipped when the command is repeated. The file does not record configs and data:
use another --work-dir after a change of these.

Exit status: 0 if all runs reach their target, 1 if one fails or misses it, 2
for a wrong command.
""")
    _add_task(parser)
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[0, 1, 2, 3, 4],
        metavar='N',
        help='random seeds (default: 0 1 2 3 4)',
    )
    parser.add_argument(
        '--capabilities',
        nargs='+',
        choices=CPU_CAPABILITIES,
        default=list(CPU_CAPABILITIES),
        metavar='LEVEL',
        help=f'instruction sets: {", ".join(CPU_CAPABILITIES)}; values of ATEN_CPU_CAPABILITY, or '
        'native for the best one of the CPU (default: all)',
    )
    parser.add_argument(
        '--jobs', type=int, default=1, metavar='N', help=f'runs at the same time {DEFAULT}'
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        metavar='DIR',
        help='folder for results (default: work_dirs/quickstart_spread, in the repository if '
        'there is one)',
    )
    return parser


def make_shapes_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Write the detection data of the quickstart: textured shapes in COCO format, with
semantic maps.
""")
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('data/shapes'),
        metavar='DIR',
        help=f'folder to write {DEFAULT}',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=ShapesSpec.seed,
        help=f'random seed; the same seed gives the same files {DEFAULT}',
    )
    for flag, default, text in (
        ('--size', ShapesSpec.size, 'width and height of an image in pixels'),
        ('--train', ShapesSpec.train, 'number of training images'),
        ('--val', ShapesSpec.val, 'number of validation images'),
    ):
        parser.add_argument(flag, type=int, default=default, metavar='N', help=f'{text} {DEFAULT}')
    return parser


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--task',
        nargs='+',
        choices=GOALS,
        default=list(DEFAULT_TASKS),
        metavar='TASK',
        help=f'{", ".join(GOALS)} (default: {", ".join(DEFAULT_TASKS)})',
    )


def _per_task(value: Callable[[Goal], object]) -> str:
    return ', '.join(f'{value(task)} for {name}' for name, task in GOALS.items())
