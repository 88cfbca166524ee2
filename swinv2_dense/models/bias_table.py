"""The position bias of Swin Transformer V1: a parameter for every offset within the window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..checkpoints.bias_tables import fit_table
from .bias_tiles import crop_table
from .precision import at_least_fp32


class BiasTable(nn.Module):
    """Table of biases, (offsets, nH), with the offsets of a window in row-major order.

    It belongs to one window. Smaller windows, clamped to a map, use its center. Weights of another
    window are interpolated when they are loaded, by `load_state_dict` as well.

    Args:
        num_heads: Heads, each with its own bias.
        pretrained_window_size: Window in tokens, one per axis.
    """

    key: ClassVar[str] = 'relative_position_bias_table'

    def __init__(self, num_heads: int, pretrained_window_size: tuple[int, ...]) -> None:
        super().__init__()
        self.pretrained_window_size = pretrained_window_size
        offsets = math.prod(2 * size - 1 for size in pretrained_window_size)
        self.weight = nn.Parameter(torch.empty(offsets, num_heads))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, window_size: Sequence[int]) -> Tensor:
        """Bias (nH, 2w-1, ...) of every offset within a window, at least fp32.

        Raises:
            ValueError: The window is larger than that of the table.
        """
        if any(w > own for w, own in zip(window_size, self.pretrained_window_size)):
            raise ValueError(
                f'a bias table of window {self.pretrained_window_size} has no biases for window '
                f'{tuple(window_size)}: build the model with that window and load the weights'
            )
        sizes = [2 * size - 1 for size in self.pretrained_window_size]
        table = (
            at_least_fp32(self.weight).unflatten(0, sizes).permute(len(sizes), *range(len(sizes)))
        )
        return crop_table(table, window_size)

    def macs(self, window_size: Sequence[int]) -> int:
        """See `PositionBias`."""
        return 0

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        key = f'{prefix}weight'
        if key in state_dict:
            state_dict[key] = fit_table(state_dict[key], self.pretrained_window_size, key)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return f'pretrained_window_size={self.pretrained_window_size}'


def fit_tables(state: dict[str, Any], modules: Mapping[str, nn.Module]) -> None:
    """Interpolate the tables in a state dict to the windows of modules with these names, in place.

    `load_state_dict` does it by itself; this is for code that compares shapes before.

    Raises:
        CheckpointError: See `fit_table`.
    """
    for name, module in modules.items():
        key = f'{name}.weight'
        if isinstance(module, BiasTable) and key in state:
            state[key] = fit_table(state[key], module.pretrained_window_size, key)
