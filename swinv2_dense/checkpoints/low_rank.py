"""Low-rank adapters in state dicts: their names, and adding them to the weights that they adapt."""

from __future__ import annotations

from collections.abc import MutableMapping

from torch import Tensor

DOWN, UP = 'low_rank_down', 'low_rank_up'  # parameters beside `weight` of a linear layer


def is_adapter(key: str) -> bool:
    """Whether a parameter belongs to an adapter."""
    return key.endswith((f'.{DOWN}', f'.{UP}'))


def merge_adapters(state: MutableMapping[str, Tensor], prefix: str = '') -> int:
    """Replace `weight` by `weight + up @ down`, in place, and remove the adapters.

    Args:
        state: Parameters by name.
        prefix: Of the names to change.

    Returns:
        The number of merged layers.
    """
    found = [key for key in state if key.startswith(prefix) and key.endswith(f'.{UP}')]
    for key in found:
        layer = key.removesuffix(UP)
        product = state.pop(key) @ state.pop(layer + DOWN)
        state[f'{layer}weight'] = state[f'{layer}weight'] + product
    return len(found)
