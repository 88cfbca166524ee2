"""RandAugment for images, as in timm, whose recipes the official SwinV2 uses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from PIL import Image

from . import operations
from .operations import Border

MAX_MAGNITUDE = 10
STRENGTHS: dict[str, Callable[[float], float]] = dict(  # timm's "increasing" set
    **operations.STRENGTHS,
    solarize_add=lambda s: int(110 * abs(s)),
)


@TRANSFORMS.register_module()
class RandAugment(BaseTransform):
    """RandAugment (arXiv 1909.13719) with timm's operations, strengths and draws.

    The defaults are timm's 'rand-m9-mstd0.5-inc1', which the official code of Swin and SwinV2 uses.
    `num_ops` times an operation is drawn, with repetition, and applied with probability `prob`.
    Interpolation is bicubic. Draws come from numpy's global state.

    Required and modified key: img (H, W, 3), BGR, uint8.

    Args:
        magnitude: Mean strength, from 0 to 10.
        magnitude_std: Standard deviation of the strength, which is clipped to 0 to 10.
        num_ops: Operations per image.
        prob: Probability of each.
        fill: RGB color of what comes in from outside the image. Default: ImageNet's mean.

    Raises:
        ValueError: An argument out of range, or an image not as required.
    """

    def __init__(
        self,
        magnitude: float = 9,
        magnitude_std: float = 0.5,
        num_ops: int = 2,
        prob: float = 0.5,
        fill: tuple[int, int, int] = (124, 116, 104),
    ) -> None:
        if not 0 <= magnitude <= MAX_MAGNITUDE:
            raise ValueError(
                f'RandAugment: magnitude={magnitude} must be from 0 to {MAX_MAGNITUDE}'
            )
        if magnitude_std < 0 or num_ops < 0 or not 0 <= prob <= 1:
            raise ValueError(
                f'RandAugment: magnitude_std={magnitude_std} and num_ops={num_ops} must be at '
                f'least 0, prob={prob} from 0 to 1'
            )
        self.magnitude, self.magnitude_std = magnitude, magnitude_std
        self.num_ops, self.prob = num_ops, prob
        self.border = Border(tuple(fill), Image.Resampling.BICUBIC)

    def draw(self) -> list[tuple[str, float]]:
        """Draw the names of operations, and their values in the units of `operations`."""
        drawn = []
        for name in np.random.choice(list(STRENGTHS), self.num_ops):
            if np.random.rand() < self.prob:
                magnitude = np.clip(
                    np.random.normal(self.magnitude, self.magnitude_std), 0, MAX_MAGNITUDE
                )
                sign = np.random.choice([-1, 1])
                drawn.append((str(name), STRENGTHS[name](sign * magnitude / MAX_MAGNITUDE)))
        return drawn

    def transform(self, results: dict) -> dict:
        """Apply what was drawn."""
        image = results['img']
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f'RandAugment needs uint8 images (H, W, 3), not {image.shape} of {image.dtype}; '
                'put it after loading and resizing'
            )
        drawn = self.draw()
        if drawn:
            results['img'] = augment(image, drawn, self.border)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(magnitude={self.magnitude}, '
            f'magnitude_std={self.magnitude_std}, num_ops={self.num_ops}, prob={self.prob})'
        )


def augment(image: np.ndarray, drawn: list[tuple[str, float]], border: Border) -> np.ndarray:
    """Apply operations with their values to an image (H, W, 3), BGR, uint8."""
    picture = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
    for name, value in drawn:
        picture = operations.OPERATIONS[name](picture, value, border)
    return np.ascontiguousarray(np.array(picture)[..., ::-1])
