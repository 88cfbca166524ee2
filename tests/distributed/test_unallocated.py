"""Models built and initialized without memory for their parameters; other ranks: test_fsdp.py."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from swinv2_dense.distributed.unallocated import parameters_out_of_memory

SIDE = 600  # 1.4 MiB per matrix


class Unusual(nn.Module):
    """Registers a parameter twice, replaces values, and computes with them in the constructor."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(SIDE, SIDE)
        self.decoder = nn.Linear(SIDE, SIDE, bias=False)
        self.decoder.weight = self.encoder.weight
        self.other = nn.Linear(SIDE, SIDE)
        self.other.weight.data = torch.linspace(0, 1, SIDE * SIDE).view(SIDE, SIDE)
        self.blocks = nn.ModuleList(nn.Linear(SIDE, SIDE) for _ in range(2))
        self.register_buffer('mean', self.encoder.weight.detach().mean(0))

    def init_weights(self) -> None:
        for block in self.blocks:
            nn.init.trunc_normal_(block.weight, std=0.02)
            block.weight.data[::2].mul_(3)


def built() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = Unusual()
    model.init_weights()
    return model, torch.rand(3)


def files_in_memory(folder: Path) -> int:
    lines = Path('/proc/self/maps').read_text().splitlines()
    return sum(str(folder) in line and line.endswith('(deleted)') for line in lines)


def test_values_are_in_files_without_a_name_and_otherwise_the_same(tmp_path):
    plain, plain_next = built()
    with parameters_out_of_memory(tmp_path / 'work'):
        model, following = built()
    assert list((tmp_path / 'work').iterdir()) == []
    assert files_in_memory(tmp_path) == 4 - 1  # but for the one that was replaced
    assert torch.equal(following, plain_next)  # random numbers
    assert model.decoder.weight is model.encoder.weight
    expected = plain.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    after = nn.Linear(SIDE, SIDE)
    assert files_in_memory(tmp_path) == 3  # none of modules that are built later
    del model, value, after
    assert files_in_memory(tmp_path) == 0
