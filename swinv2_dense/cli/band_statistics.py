"""Measure the bands of a set of images, and print the config lines that use the numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..checks.band_files import SUFFIXES
from ..checks.files import files_below
from ..errors import ConfigError
from ..preparation.band_statistics import band_table, measure_bands
from .options import band_statistics_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`band_statistics PATH... [--nodata VALUE]`."""
    args = band_statistics_parser().parse_args(argv)
    paths = find_images(args.paths)
    bands = measure_bands(paths, args.nodata)
    if not all(band.pixels for band in bands):
        raise ConfigError(f'band {[b.pixels for b in bands].index(0)} has no pixel with data')
    print(f'{len(paths)} images, {bands[0].pixels:,} pixels with data in band 0\n')
    print(band_table(bands))
    mean, std = ([float(f'{getattr(b, key):.6g}') for b in bands] for key in ('mean', 'std'))
    nodata = '' if args.nodata is None else f', nodata={args.nodata:g}'
    print(f"""
In the config, the first steps of every pipeline:
    dict(type='LoadBands'),
    dict(type='NormalizeBands', mean={mean}, std={std}{nodata}),
and, because these steps normalize:
    model = dict(
        data_preprocessor=dict(mean=None, std=None, bgr_to_rgb=False),
        backbone=dict(in_channels={len(bands)}))""")
    flat = [index for index, band in enumerate(bands) if band.std == 0]
    if flat:
        print(f'\nBands {flat} are constant: leave them out with LoadBands(bands=...).')


def find_images(given: Sequence[Path]) -> list[str]:
    """The files, and those in the folders at any depth.

    Raises:
        ConfigError: A path does not exist, or there is no image.
    """
    found: list[str] = []
    for path in given:
        if not path.exists():
            raise ConfigError(f'{str(path)!r}: there is no such file or folder')
        if path.is_dir():
            names = sorted(files_below(str(path)))
            found += [os.path.join(path, n) for n in names if n.lower().endswith(SUFFIXES)]
        else:
            found.append(str(path))
    if not found:
        raise ConfigError(f'no images ({", ".join(SUFFIXES)}) in {", ".join(map(str, given))}')
    return found
