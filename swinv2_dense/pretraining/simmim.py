"""SimMIM (arXiv 2111.09886): predict the pixels of masked patches, for images and video.

                image (B, 3, S'...)          mask (B, M...), one entry per unit of 32 pixels
                     | patch embedding          |
                tokens (B, S..., C) <-- mask token where a token's unit is masked
                     | stages of the backbone
                map of the last stage (B, 8C, M...)
                     | 1x1 convolution to 3 * unit channels, pixel shuffle
                prediction (B, 3, S'...)  --L1 on masked pixels-->  locally normalized image

The unit of masking is the stride of the last stage, 32 x 32 pixels. For video, which SimMIM does
not cover, it is the temporal patch times that (an extension of this package); with one frame and a
temporal patch of one it is the image form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..arguments import arch_settings

NORM_WINDOW = 47  # pixels, of the average that normalizes targets (official code)
EPS = 1e-6
CHANNELS = 3


@MODELS.register_module()
class SimMIM(BaseModel):
    """Masked image modeling around a SwinV2 backbone.

    Inputs are a batch of images (B, 3, H, W) or clips (B, 3, T, H, W), normalized by the data
    preprocessor, and data samples whose `mask` is (M...), 1 for masked units. A checkpoint of a
    training holds the backbone under `backbone.`, so that it loads wherever a SwinV2 checkpoint
    does.

    Args:
        backbone: Config of `SwinTransformerV2` or `VideoSwinTransformerV2`; its only output is the
            last stage, whatever `out_indices` says.
        normalize_targets: Normalize each pixel by mean and deviation of its 47 x 47 surroundings
            in the same channel and frame.
        data_preprocessor: As in `BaseModel`.
        init_cfg: As in `BaseModel`.
    """

    def __init__(
        self,
        backbone: dict,
        normalize_targets: bool = True,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        last = len(arch_settings(backbone.get('arch', 't'))[1]) - 1
        self.backbone = MODELS.build({**backbone, 'out_indices': (last,)})
        self.normalize_targets = normalize_targets
        patch = self.backbone.patch_embed.patch_size
        # Only the last two axes are merged between stages; video keeps its frames.
        self.unit = (*patch[:-2], *(size * 2**last for size in patch[-2:]))
        embed_dims, dims = self.backbone.num_features[0], self.backbone.num_features[-1]
        convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(patch) - 1]
        # A sequence, as in the official code, whose names checkpoints have.
        self.decoder = nn.Sequential(convolution(dims, CHANNELS * math.prod(self.unit), 1))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(
        self, inputs: Tensor, data_samples: Sequence[BaseDataElement], mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[BaseDataElement] | Tensor:
        """The loss, the samples with a prediction each, or the predictions (B, 3, S'...).

        Raises:
            ValueError: A mask does not fit the image.
        """
        mask = torch.stack([sample.mask for sample in data_samples]).to(inputs.device)
        self._check_mask(inputs, mask)
        predicted = self.predict(inputs, mask)
        if mode == 'tensor':
            return predicted
        losses = masked_l1(predicted, self.targets(inputs), self.pixels_of(mask))
        if mode == 'loss':
            return dict(loss=losses.mean())
        for sample, prediction, loss in zip(data_samples, predicted, losses):
            sample.set_field(prediction, 'reconstruction')
            sample.set_field(loss, 'masked_l1')
        return list(data_samples)

    def predict(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Predictions (B, 3, S'...) for images or clips with a mask (B, M...)."""
        tokens = self.backbone.patch_embed(inputs)
        scale = [u // p for u, p in zip(self.unit, self.backbone.patch_embed.patch_size)]
        masked = enlarge(mask, scale).unsqueeze(-1).to(tokens.dtype)
        token = self.mask_token.view((1,) * (tokens.dim() - 1) + (-1,)).to(tokens.dtype)
        tokens = tokens * (1 - masked) + token * masked
        (features,) = self.backbone.forward_tokens(tokens)
        return pixel_shuffle(self.decoder(features), self.unit)

    def targets(self, inputs: Tensor) -> Tensor:
        """What is to be predicted, of the shape of the input."""
        return normalize_locally(inputs) if self.normalize_targets else inputs

    def pixels_of(self, mask: Tensor) -> Tensor:
        """Mask (B, 1, S'...) of pixels from one of units (B, M...)."""
        return enlarge(mask, self.unit).unsqueeze(1)

    def _check_mask(self, inputs: Tensor, mask: Tensor) -> None:
        size = tuple(inputs.shape[2:])
        if any(s % u for s, u in zip(size, self.unit)):
            raise ValueError(
                f'images of {" x ".join(map(str, size))} do not divide into units of '
                f'{" x ".join(map(str, self.unit))} pixels; change the size in the pipeline'
            )
        units = tuple(s // u for s, u in zip(size, self.unit))
        if tuple(mask.shape[1:]) != units:
            raise ValueError(
                f'a mask of {tuple(mask.shape[1:])} units for images of {size} pixels, which have '
                f'{units} units; give the mask the size of the crop'
            )


def enlarge(mask: Tensor, factors: Sequence[int]) -> Tensor:
    """Repeat the entries of a mask (B, M...) along each of its axes but the first."""
    for axis, factor in enumerate(factors, start=1):
        mask = mask.repeat_interleave(factor, axis)
    return mask


def pixel_shuffle(x: Tensor, factors: Sequence[int]) -> Tensor:
    """`nn.PixelShuffle` with a factor per axis: (B, C * prod(f), M...) -> (B, C, M * f...)."""
    rank = len(factors)
    x = x.unflatten(1, (-1, *factors))  # B C f... M...
    order = [axis for i in range(rank) for axis in (2 + rank + i, 2 + i)]
    x = x.permute(0, 1, *order)  # B C M1 f1 M2 f2 ...
    sizes = [x.shape[2 + 2 * i] * factors[i] for i in range(rank)]
    return x.reshape(x.shape[0], x.shape[1], *sizes)


def normalize_locally(images: Tensor, window: int = NORM_WINDOW) -> Tensor:
    """Subtract the mean of each pixel's surroundings and divide by their deviation.

    Surroundings are `window` x `window` pixels of one channel, and of one frame; pixels outside
    the image do not count. The variance is unbiased: times n / (n - 1) for n pixels.

    Args:
        images: (B, C, H, W) or (B, C, T, H, W).
        window: An odd number.
    """
    flat = images.float().reshape(-1, 1, *images.shape[-2:])

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, window, 1, window // 2, count_include_pad=False)

    count = window**2 * F.avg_pool2d(torch.ones_like(flat[:1]), window, 1, window // 2)
    average = mean(flat)
    variance = (mean(flat**2) - average**2) * (count / (count - 1))
    normalized = (flat - average) / (variance.clamp(min=0.0) + EPS) ** 0.5
    return normalized.reshape(images.shape)


def masked_l1(predicted: Tensor, target: Tensor, pixels: Tensor) -> Tensor:
    """Mean absolute difference (B,) over the masked pixels (B, 1, S'...) of each image."""
    difference = (predicted.float() - target).abs() * pixels
    axes = tuple(range(1, difference.dim()))
    return difference.sum(axes) / (pixels.sum(axes) + 1e-5) / CHANNELS
