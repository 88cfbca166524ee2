"""Sizes of the tiles in which large operations run."""

from __future__ import annotations

from torch import Tensor

# Elements per type of device of the tensors that are worked on at a time: q, k and v of a group of
# windows, the hidden layer of an MLP, and logits of a tile in the forward and in the backward
# pass. On a CPU they stay near its caches, and below the size from which the C
# library asks the system for fresh pages at every allocation, which is slower than computing.
GROUP = {'cpu': 1 << 21, 'cuda': 1 << 26}


HIDDEN = {'cpu': 1 << 20, 'cuda': 1 << 26}


FORWARD_TILE = {'cpu': 1 << 18, 'cuda': 1 << 25}


BACKWARD_TILE = {'cpu': 1 << 20, 'cuda': 1 << 25}


def tile_numel(sizes: dict[str, int], x: Tensor) -> int:
    """Entry of one of the tables above for the device of `x`."""
    return sizes.get(x.device.type, sizes['cuda'])
