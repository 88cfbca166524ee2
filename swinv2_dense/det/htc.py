"""Hybrid Task Cascade whose test masks come from the mask heads of all stages."""

from __future__ import annotations

from typing import Any

from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from mmdet.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class MaskEnsembleHTCRoIHead(HybridTaskCascadeRoIHead):
    """HTC's RoI head (arXiv 1901.07518); a test mask is the mean of what all stages predict.

    As in mmdet 2, with which HTC's numbers were made. In mmdet 3 the `append` has left the loop of
    `_mask_forward`, so it tests with the last head alone, and without `mask_info_flow` it takes a
    head's (logits, features) for the logits and fails. Training, parameters and arguments are
    those of `HybridTaskCascadeRoIHead`: the checkpoints of each load into the other.
    """

    def _mask_forward(self, *args: Any, training: bool = True, **kwargs: Any) -> dict:
        """As mmdet's; when testing, `mask_preds` lists the logits (n, C, h, w) of every stage."""
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
