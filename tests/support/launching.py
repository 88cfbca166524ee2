"""Start several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import torch
from commands import ROOT
from torch import Tensor

# Searched, not imported: only the processes below need them.
MISSING = [name for name in ('mmdet', 'mmseg', 'mmaction') if find_spec(name) is None]


TORCHRUN = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']


def launch(*command: object, limit: float = 300, **env: str) -> tuple[int, str]:
    """Run a command and its children, which end with it; return its status and output.

    Processes that wait for each other for longer than `limit` seconds fail the test.
    """
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, 'OMP_NUM_THREADS': '1', **env},
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=limit)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, printed


def records(folder: Path, task: str) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((folder / task).glob('record_*.json'))]


def losses(record: dict) -> dict[str, Tensor]:
    """Losses by iteration."""
    entries = record['losses']
    return {name: torch.tensor([entry[name] for entry in entries]).double() for name in entries[0]}
