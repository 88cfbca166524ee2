"""Unpack the archives of a dataset and check it: python tools/prepare_data.py DATASET [--help]."""

from __future__ import annotations

import sys
from pathlib import Path
from runpy import run_path

HELP = Path(__file__).resolve().parents[1] / 'swinv2_dense/cli/help.py'
if HELP.is_file():  # before the imports below, which take seconds
    run_path(str(HELP), run_name='prepare_data')

from swinv2_dense.checks.paths import check_writable
from swinv2_dense.cli.options import prepare_data_parser
from swinv2_dense.errors import ConfigError
from swinv2_dense.preparation import ade20k, ade20k_full, coco, kinetics, objects365
from swinv2_dense.preparation.archives import unpack
from swinv2_dense.preparation.report import format_report, is_sound

DATASETS = {'ade20k': ade20k, 'coco': coco, 'kinetics': kinetics, 'objects365': objects365}


def main() -> None:
    parser = prepare_data_parser()
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


if __name__ == '__main__':
    main()
