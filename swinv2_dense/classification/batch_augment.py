"""Mixup and CutMix of training batches."""

from __future__ import annotations

import math

import numpy as np
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class MixupCutmix:
    """Mix every image of a batch with another one, as timm does with `mode='batch'`.

    Mixup (arXiv 1710.09412) averages two images and their labels with the weights w and 1 - w;
    CutMix (arXiv 1905.04899) pastes a rectangle of the second, and w is the share of the first that
    is left. The weight, the choice between both and the rectangle hold for the whole batch. Image i
    of B is mixed with image B - 1 - i. Draws come from numpy's global state.

    Args:
        mixup: alpha of the distribution Beta(alpha, alpha) of w in mixup; 0 for CutMix only.
        cutmix: alpha of CutMix; 0 for mixup only.
        prob: Probability that a batch is mixed.
        switch_prob: Probability of CutMix instead of mixup, if both are on.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self, mixup: float = 0.8, cutmix: float = 1.0, prob: float = 1.0, switch_prob: float = 0.5
    ) -> None:
        if mixup < 0 or cutmix < 0 or max(mixup, cutmix) == 0:
            raise ValueError(
                f'MixupCutmix: mixup={mixup} and cutmix={cutmix} must be at least 0, and one of '
                'them above; leave out model.train_augment to mix nothing'
            )
        if not 0 <= prob <= 1 or not 0 <= switch_prob <= 1:
            raise ValueError(
                f'MixupCutmix: prob={prob} and switch_prob={switch_prob} must be from 0 to 1'
            )
        self.mixup, self.cutmix, self.prob = mixup, cutmix, prob
        self.switch_prob = switch_prob if mixup and cutmix else float(cutmix > 0)

    def __call__(self, images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) and labels (B,) -> mixed images and probabilities (B, N)."""
        target = F.one_hot(labels, num_classes).to(images.dtype)
        if np.random.rand() >= self.prob:
            return images, target
        if np.random.rand() < self.switch_prob:
            weight = np.random.beta(self.cutmix, self.cutmix)
            images, weight = paste(images, weight)
        else:
            weight = np.random.beta(self.mixup, self.mixup)
            images = images * weight + images.flip(0) * (1 - weight)
        return images, target * weight + target.flip(0) * (1 - weight)


def paste(images: Tensor, weight: float) -> tuple[Tensor, float]:
    """Paste a rectangle with the share 1 - `weight` of the area, and return the share that is left.

    Its center is uniform in the image, which may cut off a part of the rectangle.
    """
    height, width = images.shape[2:]
    side = math.sqrt(1 - weight)
    h, w = int(height * side), int(width * side)
    y, x = np.random.randint(height), np.random.randint(width)
    top, bottom = max(y - h // 2, 0), min(y + (h + 1) // 2, height)
    left, right = max(x - w // 2, 0), min(x + (w + 1) // 2, width)
    images = images.clone()
    images[:, :, top:bottom, left:right] = images.flip(0)[:, :, top:bottom, left:right]
    return images, 1 - (bottom - top) * (right - left) / (height * width)
