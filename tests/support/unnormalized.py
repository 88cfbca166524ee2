"""A backbone without output norms."""

from __future__ import annotations

import torch

from swinv2_dense import SwinTransformerV2


class Unnormalized(torch.nn.Module):
    """The maps before the output norms, which transformers' backbone does not have."""

    def __init__(self, model: SwinTransformerV2) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        x, maps = self.model.patch_embed(image), []
        for stage in self.model.layers:
            out, x = stage(x, False)
            maps.append(out.movedim(-1, 1))
        return maps
