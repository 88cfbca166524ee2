"""Hybrid Task Cascade that averages the mask heads of all stages at test time."""

from __future__ import annotations

from typing import Any

from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from mmdet.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class MaskEnsembleHTCRoIHead(HybridTaskCascadeRoIHead):
    """HTC's RoI head (arXiv 1901.07518); a test mask is the mean over the heads of all stages.

    This is the behavior of mmdet 2, which produced HTC's published numbers. In mmdet 3 the `append`
    moved out of the loop in `_mask_forward`, so only the last head is used, and without
    `mask_info_flow` it treats a head's (logits, features) as logits and fails. Training, parameters
    and arguments are those of `HybridTaskCascadeRoIHead`, and checkpoints are interchangeable.
    """

    def _mask_forward(self, *args: Any, training: bool = True, **kwargs: Any) -> dict:
        """Like mmdet's, but test-time `mask_preds` lists the logits (n, C, h, w) of each stage."""
        if training:
            return super()._mask_forward(*args, training=True, **kwargs)
        logits: list[Tensor] = []

        def collect(head: nn.Module, inputs: tuple, output: Tensor | list[Tensor]) -> None:
            logits.append(output if isinstance(output, Tensor) else output[0])

        hooks = [head.register_forward_hook(collect) for head in self.mask_head]
        try:
            super()._mask_forward(*args, training=False, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()
        return dict(mask_preds=logits)
