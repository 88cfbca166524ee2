"""Changes to the weights of a model before it is traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..models.position_bias import ContinuousBias


class BakedBias(nn.Module):
    """Tables of a `ContinuousBias`, one per window; takes its place in a traced model."""

    def __init__(self, bias: ContinuousBias) -> None:
        super().__init__()
        self.pretrained_window_size = bias.pretrained_window_size
        self.source: list[ContinuousBias] = [bias]  # not a submodule: its weights are not exported

    def forward(self, window_size: Sequence[int]) -> Tensor:
        """See `ContinuousBias.forward`."""
        name = 'table_' + 'x'.join(map(str, window_size))
        if not hasattr(self, name):
            table = self.source[0].evaluate(tuple(window_size))
            self.register_buffer(name, table.detach().clone())
        return getattr(self, name)


def bake_position_bias(model: nn.Module, run: Callable[[], object]) -> None:
    """Replace the MLPs of the position biases by constants for the windows that `run()` meets."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (ContinuousBias, BakedBias)):  # the latter for another size
                bias = child if isinstance(child, ContinuousBias) else child.source[0]
                setattr(module, name, BakedBias(bias))
    with torch.no_grad():
        run()


class _Widened(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.float()


def narrow_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Store all matrices and kernels in `dtype`; they are widened to fp32 before they are used."""
    for module in list(model.modules()):
        if isinstance(module, parametrize.ParametrizationList):
            continue
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight.dim() > 1 and weight.dtype == torch.float32:
                weight.requires_grad_(False)
                weight.data = weight.data.to(dtype)
                parametrize.register_parametrization(module, name, _Widened(), unsafe=True)
