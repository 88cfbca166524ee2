"""Training steps that leave no trace."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@contextlib.contextmanager
def untouched(model: nn.Module, optimizer: Any) -> Iterator[None]:
    """Restore parameters, buffers, the optimizer and all random states; the copies are on the CPU.

    Meanwhile the learning rate is zero.
    """
    values = [local_part(value) for value in (*model.parameters(), *model.buffers())]
    copies = [value.to('cpu', copy=True) for value in values]
    states = states_of(optimizer)
    before = {param: _copied(state) for param, state in states.items()}
    rates = [group['lr'] for group in optimizer.param_groups]
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    for group in optimizer.param_groups:
        group['lr'] = 0.0
    try:
        yield
    finally:
        with torch.no_grad():
            for value, copied in zip(values, copies):
                value.copy_(copied)
            for param in [*states]:
                if param in before:
                    _restore(states[param], before[param])
                else:
                    del states[param]
        for group, rate in zip(optimizer.param_groups, rates):
            group['lr'] = rate
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])
        for index, state in enumerate(on_gpu):
            torch.cuda.set_rng_state(state, index)


def states_of(optimizer: Any) -> dict[Tensor, dict]:
    """An optimizer's state by parameter; of `ZeroRedundancyOptimizer`, that of this process."""
    return getattr(optimizer, 'optim', optimizer).state


def _copied(state: Mapping) -> dict:
    return {
        key: local_part(value).to('cpu', copy=True) if isinstance(value, Tensor) else value
        for key, value in state.items()
    }


def _restore(state: dict, before: Mapping) -> None:
    for key in [*state]:
        if key not in before:
            del state[key]
        elif isinstance(state[key], Tensor):
            local_part(state[key]).copy_(before[key])
        else:
            state[key] = before[key]


def local_part(value: Tensor) -> Tensor:
    """The part of a tensor that this process holds."""
    value = value.detach()
    return value.to_local() if hasattr(value, 'to_local') else value
