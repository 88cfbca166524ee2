"""Checkpoints of sharded training: a folder with what each process held, rank0.pth, rank1.pth, ...

torch's own format (torch.distributed.checkpoint) is read by a pickle that runs what it holds; these
files are read as weights only. Joined, they are the checkpoint that one process would have written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

FILE = 'rank{}.pth'  # of a process, in the folder
# In a file: dict(count=number of files, shapes={parameter: whole shape}, optimized=[parameter, in
# the order in which the optimizer numbers them]).
KEY = 'shards'


def join_shards(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The whole checkpoint of what the processes wrote, in their order.

    A parameter, and each moment of the optimizer for it, is flat in every part, (n,), and maybe
    empty. The parts one after the other are the whole, (sum of n,) in its shape. All else is the
    same in every part.

    Raises:
        ValueError: The parts are not those of one checkpoint.
    """
    counts = {part[KEY]['count'] for part in parts}
    if counts != {len(parts)}:
        raise ValueError(f'{len(parts)} files are there, {max(counts)} were written')
    whole = dict(parts[0])
    about = whole.pop(KEY)
    shapes = about['shapes']
    for name, shape in shapes.items():
        whole['state_dict'][name] = _join([part['state_dict'][name] for part in parts], shape)
    if 'optimizer' in whole:
        states = [part['optimizer']['state'] for part in parts]
        joined = {
            number: _join_states(
                [state[number] for state in states if number in state], shapes[name]
            )
            for number, name in enumerate(about['optimized'])
            if any(number in state for state in states)
        }
        whole['optimizer'] = whole['optimizer'] | dict(state=joined)
    return whole


def _join(pieces: list[Tensor], shape: Sequence[int]) -> Tensor:
    return torch.cat(pieces).view(*shape)


def _join_states(found: list[Mapping], shape: Sequence[int]) -> dict[str, Any]:
    """An optimizer's state of a parameter, of the processes that have a piece of it."""
    result = dict(found[0])
    for key, value in result.items():
        if isinstance(value, Tensor) and value.dim():  # AdamW's count of steps has no dimension
            result[key] = _join([state[key] for state in found], shape)
    return result
