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

from ..arguments import arch_settings, pretrained
from .weights import load_simmim

NORM_WINDOW = 47  # pixels, of the average that normalizes targets (official code)
EPS = 1e-6
CHANNELS = 3


@MODELS.register_module()
class SimMIM(BaseModel):
    """Masked image modeling around a SwinV2 backbone.

    Inputs are a batch of images (B, 3, H, W) or clips (B, 3, T, H, W), normalized by the data
    preprocessor, and data samples whose `mask` is (M...), 1 for masked units. A checkpoint of a
    training holds the backbone under `backbone.`, so it loads wherever a SwinV2 checkpoint does.

    Args:
        backbone: Config of `SwinTransformerV2` or `VideoSwinTransformerV2`; its only output is the
            last stage, whatever `out_indices` says.
        normalize_targets: Normalize each pixel by mean and deviation of its 47 x 47 surroundings
            in the same channel and frame.
        data_preprocessor: As in `BaseModel`.
        init_cfg: `dict(type='Pretrained', checkpoint=...)` continues a pre-training, see
            `load_simmim`; to start from a backbone alone, use its own `init_cfg`.
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

    def init_weights(self) -> None:
        """Load `init_cfg=dict(type='Pretrained', ...)`; mmengine handles other initializers."""
        settings = pretrained(self.init_cfg)
        if settings is not None:
            load_simmim(self, settings.checkpoint, settings.prefix)
            self._is_init = True
        else:
            super().init_weights()

    def forward(
        self, inputs: Tensor, data_samples: Sequence[BaseDataElement], mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[BaseDataElement] | Tensor:
        """Predictions (B, 3, S'...), the loss, or the samples with their loss and pixels.

        With `mode='predict'`, a sample gets `masked_l1`, and `image` and `reconstruction` as RGB
        values (3, S'...).

        Raises:
            ValueError: A mask does not fit the image.
        """
        mask = torch.stack([sample.mask for sample in data_samples]).to(inputs.device)
        self._check_mask(inputs, mask)
        predicted = self.predict(inputs, mask)
        if mode == 'tensor':
            return predicted
        pixels = self.pixels_of(mask)
        losses = masked_l1(predicted, self.targets(inputs), pixels)
        if mode == 'loss':
            return dict(loss=losses.mean())
        restored = self.restore(inputs, predicted, pixels)
        for i, sample in enumerate(data_samples):
            sample.set_field(losses[i], 'masked_l1')
            sample.set_field(self.to_pixels(inputs[i]), 'image')
            sample.set_field(self.to_pixels(restored[i]), 'reconstruction')
        return list(data_samples)

    def predict(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Predictions (B, 3, S'...) for images or clips with a mask (B, M...)."""
        tokens = self.backbone.patch_embed(inputs)
        scale = [u // p for u, p in zip(self.unit, self.backbone.patch_embed.patch_size)]
        masked = enlarge(mask, scale).unsqueeze(-1).to(tokens.dtype)
        token = self.mask_token.view((1,) * (tokens.dim() - 1) + (-1,)).to(tokens.dtype)
        tokens = tokens * (1 - masked) + token * masked
        (features,) = self.backbone.forward_tokens(tokens)
        return self.decode(features)

    def decode(self, features: Tensor) -> Tensor:
        """Predictions (B, 3, S'...) from the map of the last stage (B, C, M...)."""
        return pixel_shuffle(self.decoder(features), self.unit)

    def targets(self, inputs: Tensor) -> Tensor:
        """What the model should predict, of the shape of the input."""
        return normalize_locally(inputs) if self.normalize_targets else inputs

    def restore(self, inputs: Tensor, predicted: Tensor, pixels: Tensor) -> Tensor:
        """The input with its masked pixels replaced by the prediction, for pictures.

        A normalized prediction is scaled by the local mean and deviation of the true image, as is
        usual for such pictures: they show the predicted structure, while local brightness and
        contrast are given.
        """
        if self.normalize_targets:
            average, deviation = local_statistics(inputs)
            predicted = predicted * deviation + average
        return torch.where(pixels.bool(), predicted.to(inputs.dtype), inputs)

    def to_pixels(self, image: Tensor) -> Tensor:
        """RGB values (3, S'...) uint8 of an image that the data preprocessor has normalized."""
        mean, std = (getattr(self.data_preprocessor, name, None) for name in ('mean', 'std'))
        if mean is not None:
            shape = (-1,) + (1,) * (image.dim() - 1)
            image = image * std.view(shape) + mean.view(shape)
        return image.round().clamp(0, 255).to(torch.uint8)

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


def local_statistics(images: Tensor, window: int = NORM_WINDOW) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each pixel's surroundings, of the shape of the images.

    Surroundings are `window` x `window` pixels of one channel, and of one frame; pixels outside
    the image do not count. The variance is unbiased, n / (n - 1) times that of the n pixels, and
    increased by 1e-6.

    Args:
        images: (B, C, H, W) or (B, C, T, H, W).
        window: An odd number.
    """
    flat = images.float().reshape(-1, 1, *images.shape[-2:])

    def mean(values: Tensor) -> Tensor:
        # Along one axis after the other: 94 instead of 2209 additions per pixel.
        for axis in ((window, 1), (1, window)):
            padding = [side // 2 for side in axis]
            values = F.avg_pool2d(values, axis, 1, padding, count_include_pad=False)
        return values

    sides = (_window_sizes(side, window, flat.device) for side in images.shape[-2:])
    count = torch.outer(*sides).to(flat)
    average = mean(flat)
    variance = (mean(flat**2) - average**2) * (count / (count - 1))
    deviation = (variance.clamp(min=0.0) + EPS) ** 0.5
    return average.reshape(images.shape), deviation.reshape(images.shape)


def _window_sizes(side: int, window: int, device: torch.device) -> Tensor:
    """(side,): how many pixels of an axis lie in the window around each."""
    place, half = torch.arange(side, device=device), window // 2
    return (place + half).clamp(max=side - 1) - (place - half).clamp(min=0) + 1


def normalize_locally(images: Tensor, window: int = NORM_WINDOW) -> Tensor:
    """Subtract the mean of each pixel's surroundings, and divide by their deviation."""
    average, deviation = local_statistics(images, window)
    return (images.float() - average) / deviation


def masked_l1(predicted: Tensor, target: Tensor, pixels: Tensor) -> Tensor:
    """Mean absolute difference (B,) over the masked pixels (B, 1, S'...) of each image."""
    difference = (predicted.float() - target).abs() * pixels
    axes = tuple(range(1, difference.dim()))
    return difference.sum(axes) / (pixels.sum(axes) + 1e-5) / CHANNELS
