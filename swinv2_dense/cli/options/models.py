"""Options of the commands for models, their data and their checkpoints."""

from __future__ import annotations

import argparse
import ast
import math
from pathlib import Path

from ...choices import LOG_BACKENDS
from .shared import (
    DEFAULT,
    add_cfg_options,
    add_config,
    add_max_pixels,
    add_slices,
    command_parser,
    gib,
    positive,
)

HOOKS = """
Some hooks are added to every run. The config entry added_hooks maps the name
of a hook to its arguments, or to False to disable it; the config in the work
directory lists all of them.
""".strip()


def train_parser() -> argparse.ArgumentParser:
    parser = command_parser(f'Train a model of any task.\n\n{HOOKS}')
    _add_run_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from CHECKPOINT (default: the last one in the work directory)',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the actual batch size',
    )
    parser.add_argument(
        '--auto-batch',
        nargs='?',
        const=math.inf,
        type=gib,
        metavar='GIB',
        help='find the largest batch that fits into the memory of the GPU, or into GIB per process,'
        ' and accumulate gradients so that the batch per step stays that of the config',
    )
    parser.add_argument(
        '--keep',
        type=int,
        metavar='N',
        help='keep the last N checkpoints, and the best (default: as in the config)',
    )
    parser.add_argument(
        '--save-best',
        action='store_true',
        help='also save the checkpoint with the best mAP, mIoU or top-1, as best_*.pth',
    )
    parser.add_argument(
        '--early-stop',
        type=positive,
        metavar='N',
        help='stop when mAP, mIoU or top-1 has not improved in N validations',
    )
    parser.add_argument(
        '--log-to',
        nargs='+',
        choices=LOG_BACKENDS,
        default=[],
        help='log to these, too, besides text and JSON lines',
    )
    parser.add_argument(
        '--fit-schedule',
        action='store_true',
        help='stretch the schedules to the length of the run; with --resume, also use the '
        'optimizer settings and schedules of the config instead of those in the checkpoint',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not evaluate during the training'
    )
    parser.add_argument(
        '--val-loss', action='store_true', help='also log the loss on the validation set'
    )
    parser.add_argument('--seed', type=int, help='random seed (default: as in the config)')
    parser.add_argument(
        '--diff-rank-seed', action='store_true', help='use a different seed in each process'
    )
    parser.add_argument(
        '--deterministic', action='store_true', help='use deterministic algorithms only'
    )
    return parser


def test_parser() -> argparse.ArgumentParser:
    parser = command_parser(f'Evaluate a model of any task.\n\n{HOOKS}')
    _add_run_options(parser)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='checkpoint file')
    parser.add_argument(
        '--out', metavar='PATH', help='write predictions to FILE.pkl or, for mmseg, to a folder'
    )
    parser.add_argument('--dump', metavar='FILE.pkl', help='write predictions to this file')
    parser.add_argument(
        '--report', metavar='DIR', help='write DIR/index.html, a page about results and mistakes'
    )
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', metavar='DIR', help='folder for pictures of predictions')
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        metavar='SECONDS',
        help=f'how long --show displays each picture {DEFAULT}',
    )
    parser.add_argument(
        '--interval',
        type=int,
        default=1,
        metavar='N',
        help=f'draw every N-th sample {DEFAULT}',
    )
    parser.add_argument('--tta', action='store_true', help='use test-time augmentation')
    add_slices(parser)
    parser.add_argument(
        '--skip-unreadable',
        action='store_true',
        help='evaluate without unreadable samples, and list them',
    )
    return parser


def report_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Write a page about the results and mistakes of a test from its predictions.
test.py --report writes it directly.
""")
    add_config(parser)
    parser.add_argument(
        'predictions',
        metavar='PREDICTIONS',
        type=Path,
        help='records.json of an earlier report, or FILE.pkl of test.py --out or --dump',
    )
    parser.add_argument(
        '--out', metavar='DIR', help='folder of the page (default: report, beside PREDICTIONS)'
    )
    add_max_pixels(parser)
    add_cfg_options(parser)
    return parser


def browse_dataset_parser() -> argparse.ArgumentParser:
    parser = command_parser('Draw samples of a dataset as its pipeline augments them.')
    add_config(parser)
    parser.add_argument(
        '--output-dir',
        metavar='DIR',
        help='folder for pictures (default: work_dirs/CONFIG/browse_SPLIT)',
    )
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='train',
        help=f'which dataset of the config {DEFAULT}',
    )
    parser.add_argument(
        '--number',
        type=int,
        default=16,
        metavar='N',
        help=f'number of samples, chosen at random {DEFAULT}',
    )
    add_max_pixels(parser)
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help=f'random seed of selection and augmentation {DEFAULT}',
    )
    add_cfg_options(parser)
    return parser


def convert_checkpoint_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Convert the Swin backbone of a checkpoint from any known format to that of
this package. --inspect prints the format, architecture and windows of SRC, and
writes nothing. --detector converts a whole Plain-DETR instead, for load_from,
test and infer.
""")
    parser.add_argument('src', metavar='SRC', help='checkpoint: a path, a URL or hf://owner/name')
    parser.add_argument(
        'dst',
        metavar='DST',
        nargs='?',
        type=Path,
        help='file to write, .safetensors or .pth',
    )
    parser.add_argument('--inspect', action='store_true', help='describe SRC')
    parser.add_argument(
        '--detector', action='store_true', help='convert a whole Plain-DETR, not its backbone'
    )
    parser.add_argument('--prefix', help='prefix of the keys of the backbone, if that is ambiguous')
    parser.add_argument(
        '--pretrained-window-sizes',
        type=windows,
        metavar='[W,W,W,W]',
        help='windows that the weights were trained with, if SRC does not store them',
    )
    return parser


def publish_checkpoint_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Strip a training checkpoint for release: keep the weights and what inference
needs.

If DST is a file, the start of its SHA-256 is added to its name. It keeps the
config that it was trained with: check it for private paths.

If DST is a folder (no dot in its name), it gets model.safetensors, config.py
and README.md, a model card for the Hugging Face hub. In it, absolute paths of
the config are cut to their last part. --repo uploads the folder; then
hf://OWNER/NAME loads it. To edit the card first, leave --repo out, and upload
with publish_checkpoint FOLDER --repo OWNER/NAME later.
""")
    parser.add_argument('src', metavar='SRC', help='checkpoint of a training')
    parser.add_argument(
        'dst',
        metavar='DST',
        nargs='?',
        type=Path,
        help='file to write: NAME.pth becomes NAME-CHECKSUM.pth; or .safetensors; or a new folder',
    )
    parser.add_argument('--repo', metavar='OWNER/NAME', help='upload to this repository of the hub')
    parser.add_argument('--private', action='store_true', help='make a new repository private')
    parser.add_argument(
        '--license', metavar='ID', help='license of the weights, such as apache-2.0, for the card'
    )
    parser.add_argument(
        '--metrics',
        type=Path,
        metavar='FILE.json',
        help='results for the card: the JSON file of the test command, WORK_DIR/TIME/TIME.json',
    )
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        '--work-dir',
        metavar='DIR',
        help='folder for logs, checkpoints and results (default: as in the config, or '
        'work_dirs/CONFIG)',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision: fp16 on CUDA, bf16 on the CPU'
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help=f'what started the processes of a distributed run {DEFAULT}',
    )
    add_max_pixels(parser)
    # torchrun sets LOCAL_RANK; older launchers pass the flag.
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        metavar='N',
        help='ignored; for older launchers',
    )


def windows(text: str) -> object:
    """A list as in a config."""
    try:
        return ast.literal_eval(text)
    except SyntaxError:
        raise ValueError(text) from None
