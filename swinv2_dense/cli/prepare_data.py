"""Prepare a dataset: unpack and check a public one, or convert a folder of your own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..checks.paths import check_writable
from ..errors import ConfigError
from ..preparation import ade20k, ade20k_full, coco, kinetics, objects365
from ..preparation.archives import unpack
from ..preparation.report import format_report, is_sound
from .options import prepare_data_parser
from .prepare_own import prepare_own

DATASETS = {'ade20k': ade20k, 'coco': coco, 'kinetics': kinetics, 'objects365': objects365}


def main(argv: Sequence[str] | None = None) -> None:
    """`prepare_data DATASET [flags]`. Exits with status 1 if there are faults."""
    args = prepare_data_parser().parse_args(argv)
    if args.dataset == 'own':
        prepare_own(args)
        return
    dataset = DATASETS[args.dataset]
    convert_full, resize = getattr(args, 'convert_full', None), getattr(args, 'resize', None)
    try:
        if args.archives or convert_full or resize:
            check_writable('--root', args.root)
        parts = unpack(args.archives, args.root, dataset.ARCHIVES) if args.archives else []
        if convert_full:
            parts += ade20k_full.convert(convert_full, args.root, args.workers)
        if not args.root.is_dir():
            raise ConfigError(f'--root={args.root}: no such folder')
        parts += dataset.check(args.root, args.workers)
        if resize:
            parts += kinetics.resize_videos(args.root, resize, args.workers)
    except KeyboardInterrupt:
        raise KeyboardInterrupt('run the same command to continue') from None
    print(format_report(parts))
    sys.exit(0 if is_sound(parts) else 1)
