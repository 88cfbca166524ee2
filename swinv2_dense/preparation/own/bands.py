"""Images with more bands or bits than the default loader keeps, which `LoadBands` reads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ...checks.band_files import nodata_of
from ...checks.image_files import loses_bands
from ...errors import ConfigError
from ..band_statistics import band_table, measure_bands
from .found import Sample
from .notes import Notes

MEASURED = 500  # images at most; each is read twice
COLORS = 3


class Bands(NamedTuple):
    """How own.py reads and normalizes the images.

    Attributes:
        mean: Of each band that is used.
        std: Of each band that is used.
        used: Indices of the bands; None for all.
        nodata: The value of pixels without data; None if there is none.
        table: Statistics of all bands, for a person.
        text: One line for the report.
    """

    mean: list[float]
    std: list[float]
    used: list[int] | None
    nodata: float | None
    table: str
    text: str

    @property
    def new_bands(self) -> str | None:
        """How weights for three channels are fitted, see docs/bands.md."""
        return {1: 'average', COLORS: None}.get(len(self.mean), 'repeat')

    def config(self, is_small: bool) -> str:
        """The part of own.py with the pipelines and the model.

        Args:
            is_small: Whether the lines before define pipelines and a model without weights.
        """
        load = '' if self.used is None else f', bands={self.used}'
        numbers = [f'mean={self.mean}', f'std={self.std}']
        if self.nodata is not None:
            numbers.append(f'nodata={self.nodata:g}')
        lines = ''.join(f'        {number},\n' for number in numbers)
        base = '' if is_small else '_base_.'
        weights = ''
        if self.new_bands and not is_small:
            weights = (
                f"model['backbone']['init_cfg'].update(new_bands={self.new_bands!r})  # weights "
                'for colors: see docs/bands.md\n'
            )
        return f"""
load = [  # all bands and bits of an image, and the statistics of the training images
    dict(type='LoadBands'{load}),
    dict(
        type='NormalizeBands',
{lines}    ),
]
dropped = ('LoadImageFromFile', 'PhotoMetricDistortion', 'RandAugment')  # for colors of 8 bits
train_pipeline, test_pipeline = (
    [*load, *(step for step in pipeline if step['type'] not in dropped)]
    for pipeline in ({base}train_pipeline, {base}test_pipeline)
)
model['data_preprocessor'].update(mean=None, std=None, bgr_to_rgb=False)
model['backbone'].update(in_channels={len(self.mean)})
{weights}"""


def need_bands(samples: Sequence[Sample]) -> bool:
    """Whether the default loader would lose bands or bits of most images."""
    with ThreadPoolExecutor() as pool:
        return 2 * sum(pool.map(loses_bands, (sample.path for sample in samples))) > len(samples)


def measure(samples: Sequence[Sample], notes: Notes) -> Bands:
    """Mean and standard deviation of the training images, at most `MEASURED` of them.

    Raises:
        ConfigError: All bands are constant.
    """
    paths = [sample.path for sample in samples[:: -(-len(samples) // MEASURED)]]
    nodata = _nodata(paths)
    found = measure_bands(paths, nodata)
    used = [index for index, band in enumerate(found) if band.pixels and band.std > 0]
    if not used:
        raise ConfigError(f'{notes.root}: every band is the same in all pixels, as in {paths[0]}')
    for index in sorted(set(range(len(found))) - set(used)):
        notes.warn('bands that are constant, left out', f'band {index}')
    mean, std = ([float(f'{getattr(found[i], key):.6g}') for i in used] for key in ('mean', 'std'))
    of = '' if len(paths) == len(samples) else f'of {len(samples)} '
    text = f'bands: {len(found)}, normalized by mean and deviation of {len(paths)} {of}training'
    return Bands(
        mean,
        std,
        used if len(used) < len(found) else None,
        nodata,
        band_table(found),
        f'{text} images' + ('' if nodata is None else f', without nodata={nodata:g}'),
    )


def _nodata(paths: Sequence[Path]) -> float | None:
    """The value that the files mark, if they agree."""
    values = {nodata_of(path) for path in paths}
    return values.pop() if len(values) == 1 else None
