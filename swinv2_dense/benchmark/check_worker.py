"""Answers the requests of check.py, one model after the other, in a process of its own.

python -m swinv2_dense.benchmark.check_worker DEVICE LIBRARY

A backend may end this process: after an illegal memory access, CUDA is of no use to it any more.
Requests are lines of JSON, answers lines of JSON that begin with '@':

    errors   backend, window, dtype, frozen          -> errors in units of their bounds
    measure  case, frozen, least, budget             -> milliseconds of each run, and peak_mb

What cannot be had here (a missing package, memory) is answered as {"unavailable": reason}.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any

import torch

from ..models.window_attention import WindowAttention
from .correctness import errors
from .timing import milliseconds
from .worker import Case, Memory, Worker

# In the messages of torch on CUDA and on a CPU, of Triton, and of cuBLAS.
NO_MEMORY = ('out of memory', "can't allocate memory", 'STATUS_ALLOC_FAILED')


class CheckWorker:
    """Answers requests about one library: 'ours', or a key of `choices.PEER_PACKAGES`."""

    def __init__(self, device: str, library: str = 'ours') -> None:
        self.device, self.library = device, library

    def ask(self, request: str) -> Any:
        """Answer a request (JSON)."""
        arguments = json.loads(request)
        try:
            return dict(errors=self._errors, measure=self._measure)[arguments.pop('do')](
                **arguments
            )
        except ImportError as error:
            return dict(unavailable=str(error))
        except RuntimeError as error:
            if not any(words in str(error) for words in NO_MEMORY):
                raise
            return dict(unavailable='out of memory')
        finally:
            gc.collect()
            if self.device == 'cuda' and torch.cuda.is_initialized():
                torch.cuda.empty_cache()

    def close(self) -> None:
        """There is nothing to end."""

    def _errors(self, backend: str, window: int, dtype: str, frozen: bool) -> dict[str, float]:
        return errors(backend, window, dtype, self.device, frozen)

    def _measure(
        self, case: dict[str, Any], frozen: bool, least: int, budget: float
    ) -> dict[str, Any]:
        case.update(size=tuple(case['size']), window=tuple(case['window']))
        worker = Worker(Case(**case), self.library, None, None)
        if self.library != 'ours':
            _compile(worker)
        if frozen:
            for module in worker.model.modules():
                if isinstance(module, WindowAttention):
                    module.position_bias.requires_grad_(False)
        times = milliseconds(worker.step, worker.reset, self.device, least, budget)
        return dict(milliseconds=times, peak_mb=worker.peak())


def _compile(worker: Worker) -> None:
    """Compile a model; the memory that this takes is not counted.

    Without a reset, the models of other windows count as recompilations, of which PyTorch allows
    a few, and then runs without compiling.
    """
    torch.compiler.reset()
    worker.maps = torch.compile(worker.maps)
    worker.step()
    worker.reset()
    worker.memory = Memory(worker.case.device)


def main() -> None:
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # libraries must not print between answers

    def answer(value: object) -> None:
        print('@', json.dumps(value), file=out, flush=True)

    worker = CheckWorker(*sys.argv[1:])
    answer('ready')
    for line in sys.stdin:
        answer(worker.ask(line))


if __name__ == '__main__':
    main()
