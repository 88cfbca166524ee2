"""Options of the commands that count, time and plot."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...arguments import ARCHS
from ...choices import ATTENTION_BACKENDS, CLAIMS, DTYPES, PEER_PACKAGES
from .shared import DEFAULT, add_cfg_options, add_config, command_parser


def plan_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Estimate what a training needs per GPU: memory, communication and time. Nothing
is run, and no GPU is needed.
""")
    add_config(parser)
    _add_size(parser)
    numbers = [
        ('--gpus', int, 1, 'N', f'number of GPUs {DEFAULT}'),
        ('--gpu-memory', float, 80, 'GB', f'memory of a GPU {DEFAULT}'),
        ('--samples', int, None, 'N', 'samples per epoch, for the total time'),
        ('--tflops', float, 312, 'TFLOPS', f'peak speed of a GPU {DEFAULT}'),
        ('--bandwidth', float, 50, 'GB/S', f'send bandwidth of a GPU {DEFAULT}'),
    ]
    for flag, kind, default, unit, text in numbers:
        parser.add_argument(flag, type=kind, default=default, metavar=unit, help=text)
    parser.add_argument(
        '--utilization',
        '--utilisation',
        type=float,
        default=0.35,
        metavar='SHARE',
        help=f'achieved share of --tflops, at most 1 {DEFAULT}',
    )
    add_cfg_options(parser)
    return parser


def analyze_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Show what the backbone of a config costs at an input size: parameters of the
whole model; MACs of the backbone, of products with weights and of attention;
the memory that a training step keeps per stage; the largest tensor; and the
share of the machine's matrix-multiply speed that a forward pass reaches.

The backbone runs with random weights on one image, unless --count-only is
given.
""")
    add_config(parser)
    _add_size(parser)
    parser.add_argument(
        '--runs', type=int, default=3, metavar='N', help=f'timed forward passes {DEFAULT}'
    )
    parser.add_argument('--count-only', action='store_true', help='do not run the backbone')
    add_cfg_options(parser)
    return parser


def benchmark_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Measure time and memory of the backbones, compared with other libraries.

Every combination of --arch, --size, --window, --phase and --dtype is a case.
Each library runs in its own process, with the same weights; their feature maps
are compared first, then they run in turn. For video, mmaction2 has V1 only:
with V2, only time and memory are compared.

With --check, our attention backends are compared with each other: whether
their outputs and gradients are right on this device, then time and memory for
windows of 7 to 56, and which backend to choose. The exit status is 1 if one is
wrong. Libraries of --against are compiled first, which takes minutes.

  --size 1024 --window 32 --against hf,timm,mmpretrain
  --arch b --size 16x320x320 --window 8x20x20 --phase training --with-cp
  --version 1 --size 448 --window 7 --against mmdet,hf,timm
  --version 1 --size 16x448x448 --window 8x7x7 --against mmaction2
  --device cuda --check
""")
    for flag, choices, default, text in (
        ('--arch', list(ARCHS), 't', 'architectures: {}'),
        (
            '--phase',
            ['forward', 'training'],
            'forward',
            'passes: {} (with a backward pass)',
        ),
        ('--dtype', list(DTYPES), 'fp32', 'dtypes: {}; the last two by autocast'),
    ):
        parser.add_argument(
            flag,
            nargs='+',
            choices=choices,
            metavar=flag.lstrip('-').upper(),
            help=f'{text.format(", ".join(choices))} (default: {default})',
        )
    parser.add_argument(
        '--version',
        type=int,
        default=2,
        choices=[1, 2],
        help=f'of Swin Transformer, for our model and the others {DEFAULT}',
    )
    parser.add_argument(
        '--size',
        nargs='+',
        type=sizes,
        help='pixels: 512, 512x768, or 16x224x224 for video (default: 512)',
    )
    parser.add_argument(
        '--window',
        nargs='+',
        type=sizes,
        help='tokens: 16, 16x16, or 8x7x7 for video (default: 16)',
    )
    parser.add_argument(
        '--weights',
        default='fp32',
        choices=['fp32', 'bf16'],
        help=f'dtype of our parameters {DEFAULT}',
    )
    parser.add_argument(
        '--batch', type=int, metavar='N', help='images or clips (default: 1; 2 for --check on CUDA)'
    )
    parser.add_argument(
        '--with-cp', action='store_true', help='activation checkpointing in our model'
    )
    parser.add_argument(
        '--sequential-attention',
        action='store_true',
        help='project to queries, keys and values again in the backward pass of our model',
    )
    parser.add_argument(
        '--backend',
        default='auto',
        choices=ATTENTION_BACKENDS,
        help=f'attention backend of our model {DEFAULT}',
    )
    parser.add_argument(
        '--against',
        type=peers,
        default=[],
        metavar='LIB,...',
        help=f'libraries to compare with: {", ".join(PEER_PACKAGES)}',
    )
    parser.add_argument(
        '--runs',
        type=int,
        default=3,
        metavar='N',
        help=f'timed runs, after a warm-up {DEFAULT}',
    )
    parser.add_argument(
        '--device', choices=['cpu', 'cuda'], help='default: cuda if available, else cpu'
    )
    parser.add_argument(
        '--check', action='store_true', help='check and measure our attention backends'
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for benchmark.json, .md and .png; with --check, for check.json and .txt '
        '(default then: work_dirs/check)',
    )
    return parser


def plot_log_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        'Plot losses, learning rate, metrics, speed and memory of one or more trainings.'
    )
    parser.add_argument(
        'runs',
        nargs='+',
        type=Path,
        metavar='RUN',
        help='work directory of a training, or a scalars.json',
    )
    parser.add_argument('--metric', nargs='+', help='metrics to plot (default: mAP, mIoU or top-1)')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE.png',
        help='picture to write (default: curves.png in the first RUN)',
    )
    parser.add_argument(
        '--html',
        type=Path,
        metavar='FILE.html',
        help='also write a page that shows the values where you point',
    )
    return parser


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        metavar='N',
        help='input size in pixels: H W, or T H W for video (default: from the training pipeline)',
    )


def sizes(text: str) -> tuple[int, ...]:
    """One number, or one per axis."""
    values = tuple(int(part) for part in text.split('x'))
    if len(values) > 3 or min(values) < 1:
        raise ValueError(text)
    return values


def peers(text: str) -> list[str]:
    names = text.split(',')
    if not set(names) <= set(PEER_PACKAGES):
        raise argparse.ArgumentTypeError(f'{text!r}: choose from {", ".join(PEER_PACKAGES)}')
    return names


def claims_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Check a claim of the paper in miniature: train small models from scratch on
generated data, several seeds each, and write a table and a plot.

  resolution   transfer to larger windows, three position biases (Table 1)
  activations  growth over depth, pre-norm and res-post-norm (Figure 2)
  logits       cosines and dot products at two learning rates (section 3.2)
  memory       checkpointing, sequential attention and ZeRO-1 (section 3.5)

Seeds that --out already holds are not run again.
""")
    parser.add_argument('claim', metavar='CLAIM', choices=CLAIMS, help=', '.join(CLAIMS))
    parser.add_argument(
        '--seeds', type=int, default=5, metavar='N', help=f'runs seeds 0 to N-1 {DEFAULT}'
    )
    parser.add_argument(
        '--steps', type=int, metavar='N', help='of training (default: depends on the claim)'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/claims'), metavar='DIR',
        help=f'folder of CLAIM.json, CLAIM.md and CLAIM.png {DEFAULT}',
    )  # fmt: skip
    return parser
