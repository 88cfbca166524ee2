"""Options of the commands that prepare datasets and submissions."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .shared import DEFAULT, add_max_pixels, command_parser, positive

DATASETS = {
    'ade20k': 'ADE20K scene parsing, 150 classes (ADEChallengeData2016)',
    'coco': 'COCO 2017, with the maps of COCO-Stuff',
    'kinetics': 'Kinetics-400, -600 or -700: lists of the videos that exist and are intact',
    'objects365': 'Objects365 v2',
}

OWN_FORMATS = ['coco', 'yolo', 'voc', 'labelme', 'maps', 'table', 'folders']
OWN_TARGETS = ['boxes', 'masks', 'maps', 'clips', 'images']
OWN_TEXT = """
Recognize the format of an annotated folder, check it, split off a validation
set if there is none, link the images, and write the tree and the configs
own.py and dataset.py. Everything that is left out is named. Ends with the
commands for training and testing.
""".strip()


def prepare_data_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Prepare a dataset: a public one, or a folder of your own.

Public ones: unpack the archives, if given, check the folders and report. See
data/README.md for the layout of the folders and the names of the archives.

"own" reads an annotated folder in any common format and writes a dataset with
a config to train on it, see docs/prepare_own.md.

Existing files are never changed or replaced.

Exit status: 0 if the dataset is sound, 1 if it has faults, 2 for a wrong
command, an archive that cannot be unpacked, or a folder of your own that
cannot be used.

"prepare_data DATASET --help" shows the options of a dataset.
""")
    subparsers = parser.add_subparsers(dest='dataset', required=True, metavar='DATASET')
    for name, text in DATASETS.items():
        _add_dataset_options(subparsers.add_parser(name, help=text, description=text))
    subparsers.choices['ade20k'].add_argument(
        '--convert-full',
        type=Path,
        metavar='DIR',
        help='folder of the full release (ADE20K_2021_17_01) to convert to the 150 classes',
    )
    subparsers.choices['kinetics'].add_argument(
        '--resize',
        type=int,
        choices=[256, 320],
        help='write smaller copies of the videos, whose short side has at most this many pixels; '
        'needs ffmpeg',
    )
    text = 'a folder of your own: COCO, YOLO, VOC, LabelMe, label maps, class folders, CSV'
    _add_own_options(subparsers.add_parser('own', help=text, description=OWN_TEXT))
    return parser


def band_statistics_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Measure the bands of a set of images (TIFF with any number of bands, .npy, PNG,
JPEG; 8 or 16 bits or floating point): minimum, maximum, mean, standard
deviation and percentiles. Prints the config lines that use them. Measure the
training images only.
""")
    parser.add_argument(
        'paths', metavar='PATH', nargs='+', type=Path, help='images, or folders of images'
    )
    parser.add_argument(
        '--nodata', type=float, metavar='VALUE', help='leave out pixels with this value'
    )
    return parser


def coco_submission_parser() -> argparse.ArgumentParser:
    parser = command_parser("""
Check detections on COCO test-dev2017 and write the zip file for the evaluation
server.

RESULTS is PREFIX.bbox.json or PREFIX.segm.json, written by a test with the
options in data/README.md; each is a separate submission.

Exit status: 0 if the zip file is written, 1 if detections are faulty, 2 for a
wrong command.
""")
    parser.add_argument('results', metavar='RESULTS', type=Path, help='file of detections')
    parser.add_argument(
        '--image-info',
        type=Path,
        default=Path('data/coco/annotations/image_info_test-dev2017.json'),
        metavar='FILE',
        help=f'list of the test images {DEFAULT}',
    )
    parser.add_argument(
        '--name', required=True, help='name of the algorithm on the server (required)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path(),
        metavar='DIR',
        help='folder for the zip file (default: current folder)',
    )
    return parser


def _add_dataset_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--root', type=Path, required=True, metavar='DIR', help='folder of the dataset (required)'
    )
    parser.add_argument(
        '--archives', type=Path, metavar='DIR', help='folder of the archives to unpack into --root'
    )
    _add_workers(parser)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--workers',
        type=positive,
        default=os.cpu_count(),
        metavar='N',
        help='number of threads (default: number of CPU cores)',
    )


def _add_own_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('source', type=Path, metavar='SRC', help='annotated folder; not changed')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('data/own'),
        metavar='DIR',
        help=f'folder to write, which must not exist yet {DEFAULT}',
    )
    parser.add_argument('--format', choices=OWN_FORMATS, help='format of SRC (default: recognized)')
    parser.add_argument(
        '--annotations',
        nargs='+',
        default=(),
        metavar='FILE',
        help='COCO files to use (default: all in SRC)',
    )
    parser.add_argument(
        '--target', choices=OWN_TARGETS, help='what to learn (default: by the annotations)'
    )
    parser.add_argument(
        '--val',
        type=share,
        default=0.2,
        metavar='SHARE',
        help=f'share of validation samples, if SRC has no split {DEFAULT}',
    )
    parser.add_argument('--seed', type=int, default=0, metavar='N', help=f'of the split {DEFAULT}')
    parser.add_argument(
        '--ignore-groups',
        action='store_true',
        help='do not keep frames of a video, tiles and augmented copies in the same split',
    )
    parser.add_argument(
        '--skip-broken',
        action='store_true',
        help='leave out missing and damaged files instead of stopping',
    )
    parser.add_argument(
        '--bands',
        action='store_true',
        help='keep all bands and bits of images (default: if most have more than colors of 8 bits)',
    )
    parser.add_argument(
        '--device',
        choices=['cuda', 'cpu'],
        help='for which own.py is written; cpu chooses small models (default: what is here)',
    )
    add_max_pixels(parser)
    _add_workers(parser)


def share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number between 0 and 1')
    return number
