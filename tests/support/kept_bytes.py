"""Memory that a step keeps for its backward pass."""

from __future__ import annotations

import torch

from swinv2_dense.costs.counts import Kept


def kept_bytes(model: torch.nn.Module, x: torch.Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, without parameters."""
    kept = Kept(model)
    with kept.hooks:
        model(x)
    return kept.take()
