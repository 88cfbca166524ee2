"""A small training in a process that can be killed, with all the state that resuming restores.

Its data and its model draw from random, numpy and torch, in training and in validation.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
from torch import Tensor, nn

from swinv2_dense.cli.common import run
from swinv2_dense.cli.train import main as train_command
from swinv2_dense.errors import CheckpointError
from swinv2_dense.resilience import preemption
from swinv2_dense.resilience.atomic_checkpoints import AtomicCheckpointHook, AtomicFileBackend

SAMPLES = 14
HALF_WRITTEN = 200_000  # bytes, less than a checkpoint
STOPPED_WRITING = -signal.SIGXFSZ

CONFIG = """
custom_imports = dict(imports=['toy_training'])
default_scope = 'mmseg'
model = dict(type='Toy')
train_dataloader = dict(
    dataset=dict(type='ToyData', pipeline=[dict(type='Jitter')]),
    sampler=dict(type={sampler!r}, shuffle=True),
    batch_size=2,
)
val_dataloader = dict(
    dataset=dict(type='ToyData', pipeline=[dict(type='Pack')], test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_size=2,
)
val_evaluator = dict(type='ToyScore')
val_cfg = dict()
train_cfg = {train_cfg}
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.01), accumulative_counts={accumulated})
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=6),
    dict(type='MultiStepLR', milestones=[2], by_epoch={by_epoch}),
]
default_hooks = dict(
    checkpoint=dict(
        type='CheckpointHook',
        interval={interval},
        by_epoch={by_epoch},
        save_best='score',
        rule='greater',
    ),
    logger=dict(type='LoggerHook', interval=1),
)
custom_hooks = [dict(type='EMAHook', momentum=0.1)] * {averages} + [dict(type='FaultHook')]
"""
BY_EPOCH = dict(
    sampler='DefaultSampler',
    train_cfg=dict(by_epoch=True, max_epochs=4, val_interval=1),
    interval=1,
    by_epoch=True,
    averages=1,
    accumulated=2,  # of 7 steps in an epoch: its last checkpoint but one has gradients
)
BY_STEP = dict(
    sampler='InfiniteSampler',
    train_cfg=dict(by_epoch=False, max_iters=28, val_interval=7),
    interval=7,
    by_epoch=False,
    averages=1,
    accumulated=2,
)
FLEXIBLE = BY_STEP | dict(averages=0, accumulated=1)  # mmengine's other runner resumes neither


def write_config(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'toy.py'
    path.write_text(CONFIG.format(**changes))
    return path


def start(argv: Sequence[object], log: Path, **variables: object) -> BaseProcess:
    """Start tools/train.py in a fork of a process that has done the imports."""
    variables = {name: str(value) for name, value in variables.items()}
    return forked.start(_train, ([*map(str, argv)], str(log), variables))


def train(argv: Sequence[object], log: Path, limit: float = 300, **variables: object) -> int:
    """Train until the end or a fault; return the exit status, or the negative signal number."""
    return ends([start(argv, log, **variables)], limit)[0]


def train_two(argv: Sequence[object], log: Path, limit: float = 300, **variables: object) -> list:
    """Train in two processes, as torchrun would start them; return their exit statuses."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    shared = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=port, WORLD_SIZE=2, **variables)
    argv = [*argv[:1], '--launcher', 'pytorch', *argv[1:]]
    ranks = [start(argv, log, **shared, RANK=rank, LOCAL_RANK=rank) for rank in range(2)]
    return ends(ranks, limit)


def ends(processes: list[BaseProcess], limit: float) -> list[int]:
    """Exit statuses; processes that do not exit are killed."""
    end = time.monotonic() + limit
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def _train(argv: list[str], log: str, variables: dict[str, str]) -> None:
    os.setsid()  # a signal for the group reaches only this process and its workers
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(variables)
    torch.set_num_threads(1)
    run(lambda: train_command(argv))


def fill_disk(folder: str, answer: str) -> None:
    """Write a file and then a longer one on a file system of 1 MiB, which only this process sees.

    Ends with status 77 where that cannot be mounted. Writes what was said and is left to `answer`.
    """
    libc = ctypes.CDLL(None)
    new_namespaces = 0x00020000 | (0x10000000 if os.geteuid() else 0)  # NEWNS; NEWUSER
    private = 1 << 18 | 1 << 14  # MS_PRIVATE | MS_REC
    if (
        libc.unshare(new_namespaces)
        or libc.mount(b'none', b'/', None, private, None)
        or libc.mount(b'none', folder.encode() + b'/disk', b'tmpfs', 0, b'size=1m')
    ):
        sys.exit(77)
    path = Path(folder, 'disk', 'a.pth')
    old = b'old'.ljust(600 * 1024)
    AtomicFileBackend().put(old, path)
    with pytest.raises(CheckpointError) as error:
        AtomicFileBackend().put(b'new'.ljust(600 * 1024), path)
    left = 'old' if path.read_bytes() == old else 'torn'
    files = ' '.join(file.name for file in path.parent.iterdir())
    Path(answer).write_text(f'{error.value}\n{left}\n{files}')


@DATASETS.register_module()
class ToyData(BaseDataset):
    METAINFO = dict(classes=('thing',))

    def load_data_list(self) -> list[dict]:
        return [dict(value=float(i)) for i in range(SAMPLES)]


@TRANSFORMS.register_module()
class Pack:
    def __call__(self, results: dict) -> dict:
        return dict(inputs=torch.full((4,), results['value'] / SAMPLES))


@TRANSFORMS.register_module()
class Jitter:
    """Noise from three generators; a fifth of the samples is rejected and replaced by others.

    Appends the number of each sample asked for to the file DRAWS. Hangs on the sample that the
    variable HANG names, as `kind:number`: sleep, which signals interrupt, or gil, which nothing
    does; and writes the process to the file HANG_PID.
    """

    def __call__(self, results: dict) -> dict | None:
        kind, _, number = os.environ.get('HANG', 'none:-1').partition(':')
        if results['sample_idx'] == int(number):
            Path(os.environ['HANG_PID']).write_text(str(os.getpid()))
            {'sleep': time.sleep, 'gil': ctypes.PyDLL(None).sleep}[kind](100)
        with open(os.environ.get('DRAWS', os.devnull), 'a') as file:
            file.write(f'{results["sample_idx"]}\n')
        if np.random.rand() < 0.2:
            return None
        noise = torch.tensor([random.random(), np.random.rand(), torch.rand(()).item(), 1.0])
        return dict(inputs=noise + results['value'] / SAMPLES)


@MODELS.register_module()
class Toy(BaseModel):
    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5000)
        self.norm = nn.BatchNorm1d(5000) if norm else nn.Identity()
        self.last = nn.Linear(5000, 1)

    def forward(self, inputs: list[Tensor], mode: str = 'tensor') -> object:
        noise = random.random() + np.random.rand()
        hidden = nn.functional.dropout(self.norm(self.first(torch.stack(inputs))), training=True)
        scores = self.last(hidden)[:, 0] * noise
        return dict(loss=(scores - 1).square().mean()) if mode == 'loss' else list(scores)


@METRICS.register_module()
class ToyScore(BaseMetric):
    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results += [float(score) for score in data_samples]

    def compute_metrics(self, results: list) -> dict:
        return dict(score=sum(results))


@HOOKS.register_module()
class FaultHook(Hook):
    """The fault that the variable FAULT names, as `kind:steps`, when that many steps are done.

    kill, killed_validating: the process is killed, in the second batch of a validation. term,
    term_validating: it gets SIGTERM, its workers too; term_twice: and once more; term_later: one
    and a half seconds later, and waits but half a second for data; term_later_twice. interrupt: it
    gets SIGINT, its workers too, as by Ctrl-C. writing: it is killed when a part of a checkpoint
    is on the disk; removing: before an old one is removed.
    full: the disk takes no more than a part of a checkpoint. In all processes, or in FAULT_RANK.
    """

    priority = 'HIGHEST'

    def __init__(self) -> None:
        self.kind, _, steps = os.environ.get('FAULT', 'none:-1').partition(':')
        self.steps = int(steps)
        if os.environ.get('FAULT_RANK', str(get_rank())) != str(get_rank()):
            self.kind = 'none'

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter != self.steps:
            return
        if self.kind == 'kill':
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.kind == 'term':
            subprocess.run(['kill', '-TERM', '--', f'-{os.getpgrp()}'], check=False)
        elif self.kind == 'interrupt':
            # Children of a shell that runs the tests in the background ignore the signal.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            subprocess.run(['kill', '-INT', '--', f'-{os.getpgrp()}'], check=False)
        elif self.kind == 'term_twice':
            preemption.ONE_SIGNAL = 0.0
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)
        elif self.kind in ('term_later', 'term_later_twice'):
            preemption.ONE_SIGNAL, preemption.WAIT_FOR_DATA = 0.0, 0.5
            for number in range(1 + (self.kind == 'term_later_twice')):
                late = threading.Timer(1.5 + 0.1 * number, os.kill, (os.getpid(), signal.SIGTERM))
                late.daemon = True
                late.start()
        elif self.kind == 'removing':
            AtomicCheckpointHook._remove = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        signals = dict(killed_validating=signal.SIGKILL, term_validating=signal.SIGTERM)
        if runner.iter == self.steps and batch_idx == 1 and self.kind in signals:
            os.kill(os.getpid(), signals[self.kind])

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        if self.kind in ('writing', 'full') and checkpoint['meta']['iter'] == self.steps:
            # At this file size, the kernel kills the process (writing) or fails the call (full).
            handler = signal.SIG_DFL if self.kind == 'writing' else signal.SIG_IGN
            signal.signal(signal.SIGXFSZ, handler)
            resource.setrlimit(resource.RLIMIT_FSIZE, (HALF_WRITTEN, resource.RLIM_INFINITY))
