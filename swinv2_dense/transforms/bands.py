"""Load and normalize images with any number of bands, such as those of satellites."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from ..checks.band_files import read_bands


@TRANSFORMS.register_module()
class LoadBands(BaseTransform):
    """Read an image with any number of bands, in place of `LoadImageFromFile`.

    For TIFF (needs tifffile), `.npy`, and what OpenCV reads, of 8 or 16 bits or floating point. The
    bands keep the order of the file: colors are RGB, not BGR.

    Required key: img_path. Added keys: img ((H, W, C) float32), img_shape, ori_shape.

    Args:
        bands: Indices of the bands to use, in this order; all by default.

    Raises:
        ValueError: A file lacks one of the bands, or is not an image of bands.
    """

    def __init__(self, bands: Sequence[int] | None = None) -> None:
        self.bands = None if bands is None else list(bands)

    def transform(self, results: dict) -> dict:
        image = self.read(results['img_path'])
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def read(self, path: str) -> np.ndarray:
        """(H, W, C) float32."""
        image = read_bands(path)
        if self.bands is not None:
            if max(self.bands) >= image.shape[2] or min(self.bands) < 0:
                raise ValueError(f'{path} has {image.shape[2]} bands; LoadBands.bands={self.bands}')
            image = image[..., self.bands]
        return np.ascontiguousarray(image, dtype=np.float32)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(bands={self.bands})'


@TRANSFORMS.register_module()
class NormalizeBands(BaseTransform):
    """Subtract a mean and divide by a standard deviation per band.

    mmdet's data preprocessor normalizes 1 or 3 channels only; set its mean and std to None.
    `tools/band_statistics.py` measures both.

    Modified key: img ((H, W, C) float32). Pixels without data (`nodata`, NaN, infinity) become 0,
    the mean.

    Args:
        mean: One number per band.
        std: One number per band.
        nodata: A value that means no data.

    Raises:
        ValueError: The numbers do not fit each other, or the image.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], nodata: float | None = None
    ) -> None:
        self.mean, self.std = (np.asarray(numbers, np.float32) for numbers in (mean, std))
        self.nodata = nodata
        if self.mean.shape != self.std.shape or self.mean.ndim != 1 or not (self.std > 0).all():
            raise ValueError(
                f'NormalizeBands: mean={mean} and std={std} must be a number per band each, and '
                'std positive'
            )

    def transform(self, results: dict) -> dict:
        image = results['img']
        if image.ndim != 3 or image.shape[2] != len(self.mean):
            raise ValueError(
                f'NormalizeBands has mean and std of {len(self.mean)} bands, but the image has '
                f'shape {image.shape}'
            )
        empty = ~np.isfinite(image)
        if self.nodata is not None:
            empty |= image == self.nodata
        normalized = (image.astype(np.float32) - self.mean) / self.std
        normalized[empty] = 0
        results['img'] = normalized
        return results

    def __repr__(self) -> str:
        numbers = f'mean={self.mean.tolist()}, std={self.std.tolist()}, nodata={self.nodata}'
        return f'{type(self).__name__}({numbers})'
