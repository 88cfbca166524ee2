"""Return fp32 scores from recognizers under bf16 autocast.

mmaction2's heads and metrics compute accuracies with numpy, which has no bf16 (`TypeError: Got
unsupported ScalarType BFloat16`).
"""

from __future__ import annotations

from typing import Any

from mmaction.models.heads import BaseHead
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from torch import Tensor, nn


@HOOKS.register_module()
class Fp32ScoresHook(Hook):
    """Make every head of mmaction2 return fp32. No effect without autocast."""

    def before_run(self, runner: Any) -> None:
        for module in runner.model.modules():
            if isinstance(module, BaseHead) and _fp32 not in module._forward_hooks.values():
                module.register_forward_hook(_fp32)


def _fp32(module: nn.Module, args: tuple, output: Any) -> Any:
    return output.float() if isinstance(output, Tensor) else output
