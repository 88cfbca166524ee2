"""Memory that is used again and again within a pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


class Scratch:
    """Memory that the tiles of a pass use in turn.

    Tensors of their own would be allocated and freed for each tile. On a CPU the C library may then
    ask the system for fresh pages every time, which doubles the time of a step.
    """

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.tensors: dict[int, Tensor] = {}

    def view(self, number: int, shape: Sequence[int]) -> Tensor:
        """One of several tensors, with any content."""
        numel = math.prod(shape)
        found = self.tensors.get(number)
        if found is None or len(found) < numel:
            found = self.tensors[number] = self.like.new_empty(numel)
        return found[:numel].view(shape)
