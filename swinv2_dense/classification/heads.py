"""Classification heads, and their loss."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class SmoothedCrossEntropy(nn.CrossEntropyLoss):
    """Cross entropy in fp32 with labels (B,), or with probabilities (B, N) of mixed images.

    Label smoothing (arXiv 1512.00567) replaces the target t by (1 - s) t + s / N. Smoothing labels
    before they are mixed, as timm does, gives the same: both are linear.

    Args:
        label_smoothing: s, from 0 to 1.

    Raises:
        ValueError: It is out of range.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing <= 1:  # torch only says so in the first step
            raise ValueError(f'label_smoothing={label_smoothing} must be from 0 to 1')
        super().__init__(label_smoothing=label_smoothing)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the images (B, N)."""
        return super().forward(logits.float(), target)


@MODELS.register_module()
class LinearHead(BaseModule):
    """Global average pooling and one linear layer.

    Its parameters are `fc.weight` and `fc.bias`, as in mmpretrain's `LinearClsHead`.

    Args:
        num_classes: Classes, N.
        in_channels: Channels C of the last map of the backbone.
        loss: Config of a loss that takes logits (B, N) and labels (B,) or probabilities (B, N).
            Default: `SmoothedCrossEntropy` without smoothing.
        init_cfg: As in `BaseModule`. Default: the official one, a truncated normal of deviation
            0.02 and zero biases.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='TruncNormal', layer='Linear', std=0.02))
        self.num_classes, self.in_channels = num_classes, in_channels
        self.fc = nn.Linear(in_channels, num_classes)
        self.loss_module = MODELS.build(loss or dict(type='SmoothedCrossEntropy'))

    def pool(self, features: Sequence[Tensor]) -> Tensor:
        """The mean (B, C) of the last map (B, C, H, W)."""
        return features[-1].flatten(2).mean(dim=2)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits (B, N) for the maps of a backbone."""
        return self.fc(self.pool(features))

    def loss(self, features: Sequence[Tensor], target: Tensor) -> dict[str, Tensor]:
        """The loss for labels (B,) or probabilities (B, N)."""
        return dict(loss=self.loss_module(self(features), target))
