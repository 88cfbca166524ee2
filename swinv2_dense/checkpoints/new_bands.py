"""Fit the patch embedding of pretrained weights to another number of image bands."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import CheckpointError

MODES = ('repeat', 'average', 'zero')


def fit_bands(weight: Tensor, bands: int, mode: str, source: str) -> Tensor:
    """The filters (D, C, *patch) of a patch embedding for `bands` instead of C bands.

    - 'repeat': band j gets the filter of band j mod C, times C / bands. Bands that repeat the image
      give what the image gave (timm's `adapt_input_conv`).
    - 'average': every band gets the mean filter, times C / bands. Equal bands give what a gray
      image gave.
    - 'zero': the first C bands keep their filters, and new ones start at 0: whatever they hold, the
      first bands give what the image gave.

    Raises:
        CheckpointError: The mode is unknown, or 'zero' with fewer bands than C.
    """
    channels = weight.shape[1]
    if mode not in MODES:
        raise CheckpointError(f'init_cfg: new_bands={mode!r} must be one of {", ".join(MODES)}')
    if mode == 'zero' and bands < channels:
        raise CheckpointError(
            f"init_cfg: new_bands='zero' needs at least the {channels} bands of {source}, and the "
            f"backbone has in_channels={bands}; use 'repeat' or 'average'"
        )
    if mode == 'zero':
        empty = weight.new_zeros(len(weight), bands - channels, *weight.shape[2:])
        return torch.cat([weight, empty], dim=1)
    if mode == 'repeat':
        chosen = weight[:, torch.arange(bands) % channels]
    else:
        chosen = weight.mean(dim=1, keepdim=True).expand(-1, bands, *weight.shape[2:])
    return chosen * (channels / bands)
