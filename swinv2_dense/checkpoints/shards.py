"""Checkpoints of sharded training: a folder with one file per process, rank0.pth, rank1.pth, ...

torch's own format (torch.distributed.checkpoint) is read with a pickle that can run code; these
files are read as weights only. Joined, they equal the checkpoint that one process would write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

FILE = 'rank{}.pth'
# Entry of each file: dict(count=number of files, shapes={parameter: unsharded shape},
# optimized=[parameters in the order in which the optimizer numbers them]).
KEY = 'shards'
BY_PARAMETER = ('state_dict', 'accumulated_gradients')  # entries that map parameters to pieces


class Joined(Tensor):
    """The tensor of some pieces, which are joined each time that it is used."""

    @staticmethod
    def __new__(cls, pieces: Sequence[Tensor], shape: Sequence[int]) -> Joined:
        return Tensor._make_wrapper_subclass(cls, tuple(shape), dtype=pieces[0].dtype)

    def __init__(self, pieces: Sequence[Tensor], shape: Sequence[int]) -> None:
        self.pieces = pieces

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        def join(value: Joined) -> Tensor:
            return _join(value.pieces, value.shape)

        return func(*tree_map_only(cls, join, args), **tree_map_only(cls, join, kwargs or {}))


def join_shards(parts: Sequence[Mapping[str, Any]], when_used: bool = False) -> dict[str, Any]:
    """The full checkpoint from the parts that the processes wrote, in order of rank.

    In every part, a parameter and each of its optimizer moments is flat, (n,), possibly empty.
    Concatenated, (sum of n,), they are viewed in the unsharded shape. Everything else is the same
    in every part.

    Args:
        when_used: Join each tensor when it is used, so that not all are in memory at once.

    Raises:
        ValueError: The parts do not belong to one checkpoint.
    """
    counts = {part[KEY]['count'] for part in parts}
    if counts != {len(parts)}:
        raise ValueError(f'found {len(parts)} of {max(counts)} files')
    join = Joined if when_used else _join
    full = dict(parts[0])
    about = full.pop(KEY)
    shapes = about['shapes']
    for key in BY_PARAMETER:
        for name in shapes.keys() & full.get(key, {}).keys():
            full[key][name] = join([part[key][name] for part in parts], shapes[name])
    if 'optimizer' in full:
        states = [part['optimizer']['state'] for part in parts]
        joined = {
            number: _join_states(
                [state[number] for state in states if number in state], shapes[name], join
            )
            for number, name in enumerate(about['optimized'])
            if any(number in state for state in states)
        }
        full['optimizer'] = full['optimizer'] | dict(state=joined)
    return full


def _join(pieces: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    return torch.cat(list(pieces)).view(*shape)


def _join_states(found: list[Mapping], shape: Sequence[int], join: Callable) -> dict[str, Any]:
    """The optimizer state of a parameter, from the processes that have a piece of it."""
    result = dict(found[0])
    for key, value in result.items():
        if isinstance(value, Tensor) and value.dim():  # AdamW's step counter is a scalar
            result[key] = join([state[key] for state in found], shape)
    return result
