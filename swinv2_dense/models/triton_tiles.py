"""Sizes of the kernels in triton_kernels.py, for those that must not import Triton."""

from __future__ import annotations

from typing import NamedTuple

import torch

TRITON_HEADS = (16, 32, 64)  # channels per head


class Tiles(NamedTuple):
    """Queries and keys of a tile, and warps of a program."""

    queries: int
    keys: int
    warps: int


# Tiles that compile without spills to local memory for sm_80, sm_90 and sm_100: see
# tests/models/test_triton_compiled.py. Among them, few instructions per pair at no less than eight
# warps per multiprocessor: what is computed per row or column of a tile weighs less in threads with
# more pairs.
_HALF = dict(
    forward=Tiles(64, 32, 4),
    query=Tiles(64, 32, 4),
    key=Tiles(32, 64, 4),
    table=Tiles(32, 64, 4),
)
TILES = {
    torch.bfloat16: _HALF,
    torch.float16: _HALF,
    torch.float32: dict(
        forward=Tiles(32, 16, 4),
        query=Tiles(32, 16, 8),
        key=Tiles(16, 32, 4),
        table=Tiles(16, 32, 8),
    ),
}
PROGRAMS = 2048  # of `table_kernel`: enough to fill a GPU, and few additions to the same entry
