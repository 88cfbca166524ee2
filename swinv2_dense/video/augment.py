"""RandAugment and random erasing with the same random parameters for all frames of a clip.

mmaction2's RandAugment needs imgaug, which is unmaintained and fails with current numpy; its other
wrappers need torchvision. Of the maintained libraries, albumentations installs a second OpenCV,
timm needs torchvision, and kornia (Python 3.11 and later) cannot share parameters within a clip. So
the operations are Pillow's (`transforms.operations`); the table below defines their strength.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mmaction.datasets.transforms.processing import RandomErasing
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from PIL import Image

from ..transforms import operations

MAX_MAGNITUDE = 30
BORDER = operations.Border((128, 128, 128), Image.Resampling.BILINEAR)  # gray, as in imgaug

# The ranges of imgaug's RandAugment, which Video Swin uses: unlike in AutoAugment, larger
# magnitudes always change the image more. imgaug also mirrors and crops, which the pipeline does,
# and applies cutout, blur and smoothing.
OPERATIONS: dict[str, Callable[[float], float]] = dict(
    identity=lambda s: 0,
    **operations.STRENGTHS,
) | dict(
    posterize=lambda s: 8 - int(6 * abs(s)),
    translate_x=lambda s: 0.33 * s,
    translate_y=lambda s: 0.33 * s,
)


@TRANSFORMS.register_module()
class VideoRandAugment(BaseTransform):
    """RandAugment (arXiv 1909.13719): `n` different operations of magnitude `m`, in random order.

    The same operations with the same signs apply to all frames of all views of a clip. Random
    numbers come from numpy's global state. Operations that depend on the colors of the image
    (autocontrast, equalize, contrast) measure each frame separately.

    Required and modified key: imgs, a list of frames (H, W, 3), RGB, uint8. Frames are new arrays.

    Args:
        n: Operations, at most the number of `OPERATIONS`.
        m: Magnitude from 0, where only operations without a strength have an effect, to 30. This is
            the scale of imgaug, torchvision and kornia; timm's ends at 10.

    Raises:
        ValueError: `n` or `m` is out of range, or frames are not as required.
    """

    def __init__(self, n: int, m: float) -> None:
        if not 0 <= n <= len(OPERATIONS):
            raise ValueError(f'VideoRandAugment: n={n} must be from 0 to {len(OPERATIONS)}')
        if not 0 <= m <= MAX_MAGNITUDE:
            raise ValueError(f'VideoRandAugment: m={m} must be from 0 to {MAX_MAGNITUDE}')
        self.n, self.m = n, m

    def draw(self) -> list[tuple[str, float]]:
        """Draw names and strengths of operations, in the order of application."""
        names = np.random.choice(list(OPERATIONS), self.n, replace=False)
        signs = np.random.choice([-1, 1], self.n)
        return [(str(name), sign * self.m / MAX_MAGNITUDE) for name, sign in zip(names, signs)]

    def transform(self, results: dict) -> dict:
        """Apply one draw to all frames."""
        drawn = self.draw()
        results['imgs'] = [augment(frame, drawn) for frame in results['imgs']]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(n={self.n}, m={self.m})'


def augment(frame: np.ndarray, drawn: list[tuple[str, float]]) -> np.ndarray:
    """Apply drawn operations to a frame (H, W, 3), uint8."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(
            f'VideoRandAugment needs uint8 frames (H, W, 3), not {frame.shape} of {frame.dtype}; '
            'put it after decoding and resizing, before FormatShape'
        )
    image = Image.fromarray(frame)
    for name, strength in drawn:
        image = operations.OPERATIONS[name](image, OPERATIONS[name](strength), BORDER)
    return np.array(image)


@TRANSFORMS.register_module()
class VideoRandomErasing(RandomErasing):
    """mmaction2's `RandomErasing` with the same fill in all frames; takes its arguments.

    With `mode='rand'` the original draws new noise for each frame, which flickers. It also writes
    into the decoder's frames; here frames are new arrays. The default fill is a constant color.
    Frames are uint8, so put it before FormatShape; `fill_color=(123.675, 116.28, 103.53)`, the mean
    color, is zero after normalization.
    """

    def _fill_pixels(
        self, imgs: list[np.ndarray], top: int, left: int, h: int, w: int
    ) -> list[np.ndarray]:
        patch = self._img_fill_pixels(np.empty((h, w, 3), np.uint8), 0, 0, h, w)
        frames = [frame.copy() for frame in imgs]
        for frame in frames:
            frame[top : top + h, left : left + w] = patch
        return frames
