"""Options of the commands that use a trained model."""

from __future__ import annotations

import argparse

from ...choices import EXPORTS
from .shared import (
    DEFAULT,
    add_cfg_options,
    add_config,
    add_max_pixels,
    add_slices,
    command_parser,
    positive,
)


def infer_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Predict for images and videos with the test pipeline of a config. Detectors
and segmentors process videos frame by frame. Without CONFIG.py, the config is
the one that training stored in the checkpoint, or the only one next to it.
docs/predictions.md describes the files that are written.

Exit status: 0 if all inputs are done, 1 if unreadable inputs were skipped, 2
for a wrong command.
""")
    parser.add_argument(
        'config', metavar='CONFIG', nargs='?', help='config file, ends in .py; may be left out'
    )
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='checkpoint file')
    parser.add_argument(
        'inputs',
        metavar='INPUT',
        nargs='+',
        help='file, folder (searched at any depth) or pattern such as "videos/*.mp4"',
    )
    parser.add_argument(
        '--out-dir',
        metavar='DIR',
        help='folder for results (default: work_dirs/CONFIG/infer, without CONFIG '
        'work_dirs/CHECKPOINT/infer)',
    )
    _add_inference_options(parser)
    parser.add_argument(
        '--export',
        nargs='+',
        choices=EXPORTS,
        default=[],
        help='mmdet: also write the objects as a COCO dataset or as pre-annotations',
    )
    parser.add_argument('--no-pictures', action='store_true', help='write no pictures and videos')
    return parser


def demo_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Open a page on this machine that predicts for images and videos that you drop
on it. Without CONFIG.py, the config is the one that training stored in the
checkpoint, or the only one next to it. Needs gradio (the extra demo).
""")
    parser.add_argument(
        'config', metavar='CONFIG', nargs='?', help='config file, ends in .py; may be left out'
    )
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='checkpoint file')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help=f'address to listen on; 0.0.0.0 lets other machines in {DEFAULT}',
    )
    parser.add_argument('--port', type=positive, default=7860, help=f'port {DEFAULT}')
    parser.add_argument(
        '--max-upload',
        type=positive,
        default=100,
        metavar='MB',
        help=f'refuse larger files {DEFAULT}',
    )
    _add_inference_options(parser)
    parser.set_defaults(no_pictures=False)
    return parser


def export_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Export a model as ONNX, or as pt2 for torch.export.load. Each file is compared
with the model on an image; if it differs, it is not kept. infer.py and test.py
take the file in place of a checkpoint. docs/export.md lists which models can be
exported, and describes inputs and outputs.
""")
    add_config(parser)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='checkpoint file')
    parser.add_argument(
        '--format', choices=['onnx', 'pt2'], default='onnx', help=f'file format {DEFAULT}'
    )
    parser.add_argument(
        '--size',
        nargs='+',
        type=int,
        metavar='H W',
        help='sizes of the input in pixels, a file for each (default: that of the test pipeline)',
    )
    parser.add_argument(
        '--part',
        choices=['model', 'neck', 'backbone'],
        default='model',
        help=f'export the whole model, or up to the maps of a part {DEFAULT}',
    )
    parser.add_argument(
        '--raw',
        action='store_true',
        help='take normalized images and return what the head computes, without pre- and '
        'post-processing',
    )
    parser.add_argument(
        '--dtype',
        choices=['fp32', 'fp16', 'bf16', 'int8'],
        default='fp32',
        help=f'dtype of stored weights; int8 (ONNX): also multiply linear layers in int8 {DEFAULT}',
    )
    parser.add_argument(
        '--image', metavar='FILE', help='image to compare on (default: a generated one)'
    )
    parser.add_argument(
        '--out-dir', metavar='DIR', help='folder of the files (default: work_dirs/CONFIG/export)'
    )
    add_cfg_options(parser)
    return parser


def _add_inference_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        metavar='SCORE',
        help=f'mmdet: drop objects with a lower score {DEFAULT}',
    )
    parser.add_argument(
        '--classes',
        metavar='FILE',
        help='class names, one per line (default: from the checkpoint, or from the config)',
    )
    parser.add_argument('--tta', action='store_true', help='use test-time augmentation')
    add_slices(parser)
    parser.add_argument(
        '--batch-size',
        type=positive,
        default=1,
        metavar='N',
        help=f'images of equal size, frames or slices to predict at a time {DEFAULT}',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision: fp16 on CUDA, bf16 on the CPU'
    )
    add_max_pixels(parser)
    parser.add_argument('--device', help='e.g. cuda:1 (default: cuda if available, else cpu)')
    add_cfg_options(parser)
