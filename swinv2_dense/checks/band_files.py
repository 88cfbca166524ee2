"""Read images with any number of bands and any type of numbers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..checks.pixel_limit import check_image_file
from ..errors import ConfigError

TIFF = ('.tif', '.tiff')
GDAL_NODATA = 42113  # tag
SUFFIXES = (*TIFF, '.npy', '.png', '.jpg', '.jpeg')


def read_bands(path: str | os.PathLike) -> np.ndarray:
    """An image (H, W, C) with the numbers in its file, its bands in the order of the file.

    TIFF is read by tifffile: bands interleaved, as planes or as pages, of any type. `.npy` files
    hold (H, W) or (H, W, C); everything else is read by OpenCV, with colors as RGB.

    Raises:
        ConfigError: tifffile is not installed.
        ValueError: The file is damaged, or has other axes.
        OSError: It cannot be opened.
    """
    suffix = Path(path).suffix.lower()
    check_image_file(path)
    if suffix in TIFF:
        image = _read_tiff(path)
    elif suffix == '.npy':
        image = np.load(path, allow_pickle=False)
    else:
        image = _read_with_opencv(path)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.dtype.kind not in 'uif':
        raise ValueError(
            f'{path} holds {image.dtype} of shape {image.shape}; an image of bands is (H, W) or '
            '(H, W, C) of integers or floating-point numbers'
        )
    return image


def _read_tiff(path: str | os.PathLike) -> np.ndarray:
    try:
        import tifffile
    except ImportError:
        raise ConfigError(f'{path}: to read TIFF with bands, pip install tifffile') from None
    is_plain = False
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            is_plain = len(file.pages) == 1 and file.pages[0].samplesperpixel in (1, 3)
            image, axes = series.asarray(), series.axes
    except OSError:
        raise
    except Exception as error:
        if 'imagecodecs' in str(error):  # for LZW, which OpenCV writes by default
            if is_plain:
                return _read_with_opencv(path)
            raise ConfigError(f'{path}: {error}: pip install imagecodecs') from error
        # A damaged file can raise almost anything.
        raise ValueError(f'{path} is not a TIFF that can be read: {error}') from error
    places = [axes.find('Y'), axes.find('X')]
    others = [i for i, axis in enumerate(axes) if axis not in 'YX']
    if min(places) < 0 or len(others) > 1:
        raise ValueError(f'{path} has the axes {axes} of lengths {image.shape}, not bands, Y and X')
    return image.transpose(*places, *others)


def nodata_of(path: str | os.PathLike) -> float | None:
    """The value that a TIFF written by GDAL marks as no data; None if it marks none, or NaN."""
    if Path(path).suffix.lower() not in TIFF:
        return None
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            value = float(file.pages[0].tags[GDAL_NODATA].value)
    except (KeyError, ValueError, OSError, tifffile.TiffFileError):
        return None
    return value if np.isfinite(value) else None


def _read_with_opencv(path: str | os.PathLike) -> np.ndarray:
    import cv2

    encoded = np.frombuffer(Path(path).read_bytes(), np.uint8)
    image = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if len(encoded) else None
    if image is None:
        raise ValueError(f'{path} is not an image that OpenCV reads')
    if image.ndim == 3 and image.shape[2] >= 3:
        image = np.concatenate([image[..., 2::-1], image[..., 3:]], axis=2)
    return image
