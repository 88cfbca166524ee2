"""Sizes of the tiles in which large operations run.

Each table gives the number of elements per type of device. They may be changed to tune for a
device; results differ by rounding only.
"""

from __future__ import annotations

from torch import Tensor

# On a CPU a tile fits the caches, and stays below the size from which the C library asks the
# system for fresh pages at every allocation, which is slower than computing.
GROUP = {'cpu': 1 << 21, 'cuda': 1 << 26}  # q, k and v of a group of windows
HIDDEN = {'cpu': 1 << 20, 'cuda': 1 << 26}  # hidden layer of an MLP
FORWARD_TILE = {'cpu': 1 << 18, 'cuda': 1 << 25}  # logits in the forward pass
WHOLE_BIAS = {'cpu': 1 << 22, 'cuda': 1 << 24}  # N x N bias of all heads, kept during a pass
BACKWARD_TILE = {'cpu': 1 << 19, 'cuda': 1 << 25}  # logits in the backward pass


def tile_numel(sizes: dict[str, int], x: Tensor) -> int:
    """Entry of one of the tables above for the device of `x`."""
    return sizes.get(x.device.type, sizes['cuda'])
