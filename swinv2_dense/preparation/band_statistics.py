"""Statistics of the bands of a set of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..checks.band_files import read_bands
from ..errors import ConfigError
from ..tables import text_table

PERCENTILES = (1.0, 2.0, 50.0, 98.0, 99.0)
BINS = 2**16  # of a histogram; integers of up to 16 bits have one per value


@dataclass
class BandStatistics:
    """Of one band over a set of images, without nodata."""

    pixels: int = 0
    minimum: float = np.inf
    maximum: float = -np.inf
    mean: float = 0.0
    squares: float = 0.0  # sum of squared distances to the mean
    percentiles: dict[float, float] = field(default_factory=dict)

    @property
    def std(self) -> float:
        """Standard deviation of the population."""
        return float(np.sqrt(self.squares / self.pixels)) if self.pixels else 0.0

    def add(self, values: np.ndarray) -> None:
        """Merge the values of an image (Chan, Golub and LeVeque 1979, equation 2.1)."""
        if not len(values):
            return
        values = values.astype(np.float64)
        mean, total = values.mean(), self.pixels + len(values)
        self.squares += ((values - mean) ** 2).sum()
        self.squares += (mean - self.mean) ** 2 * self.pixels * len(values) / total
        self.mean += (mean - self.mean) * len(values) / total
        self.pixels = total
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))


def measure_bands(
    paths: Sequence[str | os.PathLike], nodata: float | None = None
) -> list[BandStatistics]:
    """Statistics of every band. Images are read twice, one at a time.

    Args:
        paths: Images with equally many bands.
        nodata: A value to leave out; NaN and infinity always are.

    Raises:
        ConfigError: Images differ in their number of bands, or cannot be read.
    """
    bands: list[BandStatistics] = []
    for path in paths:
        image = _read(path)
        bands = bands or [BandStatistics() for _ in range(image.shape[2])]
        if image.shape[2] != len(bands):
            raise ConfigError(
                f'{path} has {image.shape[2]} bands, but {paths[0]} has {len(bands)}; measure '
                'images with equally many'
            )
        for band, values in zip(bands, _valid(image, nodata)):
            band.add(values)
    counts = [np.zeros(BINS, np.int64) for _ in bands]
    for path in paths:
        for band, count, values in zip(bands, counts, _valid(_read(path), nodata)):
            if len(values):
                places = (values.astype(np.float64) - band.minimum) / _width(band)
                count += np.bincount(places.astype(np.int64).clip(0, BINS - 1), minlength=BINS)
    for band, count in zip(bands, counts):
        band.percentiles = _percentiles(band, count)
    return bands


def band_table(bands: Sequence[BandStatistics]) -> str:
    """One row per band."""
    header = ('band', 'min', *(f'{share:g} %' for share in PERCENTILES), 'max', 'mean', 'std')
    rows = [
        [index, *(f'{number:.6g}' for number in numbers)]
        for index, numbers in enumerate(
            (b.minimum, *b.percentiles.values(), b.maximum, b.mean, b.std) for b in bands
        )
    ]
    return text_table(rows, header)


def _read(path: str | os.PathLike) -> np.ndarray:
    try:
        return read_bands(path)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f'{path} cannot be read: {" ".join(str(error).split())}') from error


def _valid(image: np.ndarray, nodata: float | None) -> list[np.ndarray]:
    kept = np.isfinite(image)
    if nodata is not None:
        kept &= image != nodata
    return [image[..., i][kept[..., i]] for i in range(image.shape[2])]


def _width(band: BandStatistics) -> float:
    """Of a bin: 1 for integers of up to 16 bits, so that percentiles are exact."""
    extent = band.maximum - band.minimum
    whole = extent < BINS and float(extent).is_integer() and float(band.minimum).is_integer()
    return 1.0 if whole and extent >= 256 else max(extent / (BINS - 1), 1e-300)


def _percentiles(band: BandStatistics, counts: np.ndarray) -> dict[float, float]:
    """The smallest bins up to which at least a share of the pixels lies."""
    if not band.pixels:
        return {}
    below = counts.cumsum()
    places = [int(np.searchsorted(below, share / 100 * band.pixels)) for share in PERCENTILES]
    return {s: band.minimum + place * _width(band) for s, place in zip(PERCENTILES, places)}
