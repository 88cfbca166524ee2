"""Unpack a data set's archives where given, check its tree and report.

Nothing that is there is changed or replaced. The exit status is 0 for a sound tree, 1 for one with
faults, 2 for a mistake in the call or an archive that cannot be unpacked.
data/README.md shows the trees and the names of the archives.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from swinv2_dense.checks.paths import check_writable
from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation import ade20k, ade20k_full, coco, kinetics, objects365
from swinv2_dense.preparation.archives import unpack
from swinv2_dense.preparation.report import format_report, is_sound

DATASETS = {'ade20k': ade20k, 'coco': coco, 'kinetics': kinetics, 'objects365': objects365}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subparsers = parser.add_subparsers(dest='dataset', required=True, metavar='DATASET')
    for name, dataset in DATASETS.items():
        _add_arguments(subparsers.add_parser(name, help=dataset.__doc__))
    subparsers.choices['ade20k'].add_argument(
        '--convert-full',
        type=Path,
        metavar='FOLDER',
        help='full release (ADE20K_2021_17_01) to make the tree of',
    )
    subparsers.choices['kinetics'].add_argument(
        '--resize',
        type=int,
        choices=[256, 320],
        help='copy the videos with a short side of at most so many pixels, by ffmpeg',
    )
    args = parser.parse_args()
    dataset = DATASETS[args.dataset]
    try:
        if args.archives or getattr(args, 'convert_full', None) or getattr(args, 'resize', None):
            check_writable('--root', args.root)
        parts = unpack(args.archives, args.root, dataset.ARCHIVES) if args.archives else []
        if getattr(args, 'convert_full', None):
            parts += ade20k_full.convert(args.convert_full, args.root, args.workers)
        if not args.root.is_dir():
            raise ConfigError(f'--root={args.root}: there is no such folder')
        parts += dataset.check(args.root, args.workers)
        if getattr(args, 'resize', None):
            parts += kinetics.resize_videos(args.root, args.resize, args.workers)
    except ConfigError as error:
        parser.exit(2, f'error: {error}\n')
    except KeyboardInterrupt:
        parser.exit(130, 'interrupted; the same command goes on with what is there\n')
    print(format_report(parts))
    sys.exit(0 if is_sound(parts) else 1)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--root', type=Path, required=True, help='folder of the data set')
    parser.add_argument('--archives', type=Path, help='folder of archives to unpack below it')
    parser.add_argument(
        '--workers', type=_positive, default=os.cpu_count(), help='threads (default: cores)'
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no number from 1 on')
    return int(text)


if __name__ == '__main__':
    main()
