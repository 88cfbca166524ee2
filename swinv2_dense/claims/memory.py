"""Claim of section 3.5: ZeRO, activation checkpointing and sequential attention save memory.

The paper needs all three for its largest model, and gives a slowdown of up to 30 % for
checkpointing. Here: the peak of a training step, measured in a process of its own, beside what
`plan` derives for it; and what the optimizer of a process keeps under ZeRO-1, of 1 and 2 processes.
The seed does not matter: only sizes do.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.multiprocessing import spawn

from ..benchmark.compare import run_case
from ..benchmark.worker import Case, build_ours
from ..costs.detectors import FAKE
from ..costs.training_step import FP32, backbone_memory, largest_share
from ..models import SwinTransformerV2

CLAIM = 'Checkpointing and sequential attention reduce the peak; ZeRO-1 the optimizer per GPU.'
ARCH, SIZE, WINDOW = 't', (256, 256), (16, 16)
SETTINGS = {
    'neither': {},
    'sequential': dict(sequential_attention=True),
    'checkpointing': dict(with_cp=True),
    'both': dict(with_cp=True, sequential_attention=True),
}
STEPS = 3  # measured steps


def run(seed: int, steps: int = STEPS) -> Iterator[dict[str, Any]]:
    """Rows: measured and derived megabytes of a step above the model, and its seconds."""
    for name, settings in SETTINGS.items():
        case = Case(ARCH, SIZE, WINDOW, 'training', 'fp32', 'fp32', 'cpu', 2, **settings)
        (row,) = run_case(case, [], steps)
        if 'error' in row:
            raise RuntimeError(row['error'])
        yield {
            'setting': name,
            'measured MB': row['ours']['peak_mb'],
            'derived MB': derived(case) / 2**20,
            'seconds': statistics.median(row['ours']['seconds']),
        }
    for processes in (1, 2):
        yield {
            'setting': f'ZeRO-1, optimizer on {processes}',
            'measured MB': max(optimizer_bytes(processes)) / 2**20,
            'derived MB': 2 * FP32 * largest_share(parameter_sizes(), processes) / 2**20,
        }


def derived(case: Case) -> int:
    """Bytes that `plan` derives: kept activations, workspace, gradients."""
    model, _ = build_ours(case, None, None)
    with FAKE:
        kept, working = backbone_memory(model, case.size, case.batch)
    return kept + working + FP32 * sum(p.numel() for p in model.parameters())


def parameter_sizes() -> list[int]:
    """Elements of every parameter of the backbone."""
    with torch.device('meta'):
        model = SwinTransformerV2(ARCH, window_size=WINDOW)
    return [parameter.numel() for parameter in model.parameters()]


def optimizer_bytes(processes: int) -> list[int]:
    """What AdamW keeps in each process after a step under torch's ZeroRedundancyOptimizer."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(_step_with_zero, (processes, folder), nprocs=processes)
        return [int((Path(folder) / str(rank)).read_text()) for rank in range(processes)]


def _step_with_zero(rank: int, processes: int, folder: str) -> None:
    """A process: one step, whose state it writes the size of to a file."""
    store = f'file://{Path(folder) / "store"}'
    dist.init_process_group('gloo', init_method=store, rank=rank, world_size=processes)
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in parameter_sizes()]
    optimizer = ZeroRedundancyOptimizer(parameters, torch.optim.AdamW, lr=0.1)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moments = [v for state in optimizer.optim.state.values() for v in state.values()]
    total = sum(v.numel() * v.element_size() for v in moments if v.dim() > 0)
    (Path(folder) / str(rank)).write_text(str(total))
    dist.destroy_process_group()


KEYS = ('setting',)
VALUES = ('measured MB', 'derived MB', 'seconds')
PLOT = dict(x='setting', bars=('measured MB', 'derived MB'))
