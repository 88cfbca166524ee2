"""Checkpoints of sharded training: a folder with one file per process, rank0.pth, rank1.pth, ...

torch's own format (torch.distributed.checkpoint) is read with a pickle that can run code; these
files are read as weights only. Joined, they equal the checkpoint that one process would write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

FILE = 'rank{}.pth'
# Entry of each file: dict(count=number of files, shapes={parameter: unsharded shape},
# optimized=[parameters in the order in which the optimizer numbers them]).
KEY = 'shards'


def join_shards(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The full checkpoint from the parts that the processes wrote, in order of rank.

    In every part, a parameter and each of its optimizer moments is flat, (n,), possibly empty.
    Concatenated, (sum of n,), they are viewed in the unsharded shape. Everything else is the same
    in every part.

    Raises:
        ValueError: The parts do not belong to one checkpoint.
    """
    counts = {part[KEY]['count'] for part in parts}
    if counts != {len(parts)}:
        raise ValueError(f'found {len(parts)} of {max(counts)} files')
    full = dict(parts[0])
    about = full.pop(KEY)
    shapes = about['shapes']
    for name, shape in shapes.items():
        full['state_dict'][name] = _join([part['state_dict'][name] for part in parts], shape)
    if 'optimizer' in full:
        states = [part['optimizer']['state'] for part in parts]
        joined = {
            number: _join_states(
                [state[number] for state in states if number in state], shapes[name]
            )
            for number, name in enumerate(about['optimized'])
            if any(number in state for state in states)
        }
        full['optimizer'] = full['optimizer'] | dict(state=joined)
    return full


def _join(pieces: list[Tensor], shape: Sequence[int]) -> Tensor:
    return torch.cat(pieces).view(*shape)


def _join_states(found: list[Mapping], shape: Sequence[int]) -> dict[str, Any]:
    """The optimizer state of a parameter, from the processes that have a piece of it."""
    result = dict(found[0])
    for key, value in result.items():
        if isinstance(value, Tensor) and value.dim():  # AdamW's step counter is a scalar
            result[key] = _join([state[key] for state in found], shape)
    return result
