"""Preemption: on SIGTERM a training saves a checkpoint and exits with a status of its own.

SIGTERM -> the step finishes -> all ranks agree -> rank 0 saves -> barrier -> exit 75
   |
   +-> WAIT_FOR_DATA passes without a next batch -> save or not -> exit 75
"""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import distributed as dist

from ..shared_errors import shared_errors
from .atomic_checkpoints import LAST, PREEMPTED, AtomicCheckpointHook, AtomicFileBackend
from .resume import is_accumulating

STATUS = 75  # EX_TEMPFAIL of sysexits.h: run the command again
ONE_SIGNAL = 5.0  # seconds; scheduler and torchrun both send SIGTERM, which counts as one
WAIT_FOR_DATA = 20.0  # seconds after SIGTERM; torchrun sends SIGKILL after 30
AGAIN = 2.0  # seconds between alarms after that
ALIVE_CHECK = 5.0  # seconds between checks for the parent, as in torch's workers
PR_SET_PDEATHSIG = 1  # of prctl(2)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Exit on SIGTERM: after the step, with a checkpoint; during validation, immediately.

    It is enough that one of several processes gets the signal. A second SIGTERM exits immediately.
    The next batch may never arrive if a decoder or a file system hangs. After `WAIT_FOR_DATA`
    seconds a single process saves the state after the last step. One of several exits without a
    checkpoint, because the others are already in the next step.
    """

    priority = 'LOWEST'  # all other hooks have seen the step before it is saved

    def __init__(self) -> None:
        self.signalled = 0.0  # time of the first SIGTERM
        self.validating = False
        # Number of steps done, while the loop waits for a batch and the state can be saved.
        self.steps: int | None = None
        self._group: Any = None
        self._default: Any = signal.SIG_DFL

    def before_train(self, runner: Any) -> None:
        if get_world_size() > 1:
            # The ranks agree after every step. Through gloo that happens on the CPU: an all-reduce
            # on the GPU would synchronize host and device in every step.
            self._group = dist.new_group(backend='gloo')
        loops = (runner.train_loop, runner.val_loop)
        for loader in (loop.dataloader for loop in loops if loop is not None):
            loader.worker_init_fn = functools.partial(_set_up_worker, loader.worker_init_fn)
        self._default = signal.signal(signal.SIGTERM, self._on_signal) or signal.SIG_DFL
        self._runner = runner

    def after_train(self, runner: Any) -> None:
        self.steps = None
        signal.signal(signal.SIGTERM, self._default)

    def before_train_epoch(self, runner: Any) -> None:
        self._wait_for_data(runner, runner.iter)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.steps = None

    def before_val(self, runner: Any) -> None:
        self.validating, self.steps = True, None
        if self.signalled:
            self._end_in_validation()

    def after_val(self, runner: Any) -> None:
        self.validating = False
        self._wait_for_data(runner, runner.iter)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        # Checkpoints lack the accumulated gradients of other ranks, so these finish the step first.
        is_between = self._group is not None and is_accumulating(runner)
        if is_between or not self._anyone_signalled():
            self._wait_for_data(runner, runner.iter + 1, batch_idx)
            return
        _stop_alarm()
        path = self._save(runner, runner.iter + 1)
        runner.logger.info(f'Preempted: saved {path}; continue with --resume.')
        if self._group is not None:
            dist.barrier(self._group)  # torchrun kills the other ranks when one exits
        _end()

    def _wait_for_data(self, runner: Any, steps: int, batch_idx: int = -1) -> None:
        """Set `steps` if the loop fetches another batch next; else to None.

        At the end of an epoch or of the training, other hooks may still be writing checkpoints.
        """
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop):
            continues = batch_idx + 1 < len(loop.dataloader) and loop.epoch < loop.max_epochs
        else:
            continues = isinstance(loop, IterBasedTrainLoop) and steps < loop.max_iters
        self.steps = steps if continues and not loop.stop_training else None

    @staticmethod
    def _save(runner: Any, steps: int) -> str:
        """Write a checkpoint after `steps`, even if the config turns checkpoints off."""
        meta = dict(epoch=runner.epoch, iter=steps)
        for hook in runner.hooks:
            if isinstance(hook, AtomicCheckpointHook):
                hook.save_optimizer = hook.save_param_scheduler = True
                hook.save_as(runner, PREEMPTED, meta, by_epoch=False)
                return hook.last_ckpt
        path = Path(runner.work_dir, PREEMPTED)
        with shared_errors():
            runner.save_checkpoint(runner.work_dir, PREEMPTED, meta=meta, by_epoch=False)
            if is_main_process():
                AtomicFileBackend().put_text(str(path), path.with_name(LAST))
        return str(path)

    def _anyone_signalled(self) -> bool:
        if self._group is None:
            return bool(self.signalled)
        signalled = torch.tensor(int(bool(self.signalled)))
        dist.all_reduce(signalled, dist.ReduceOp.MAX, self._group)
        return bool(signalled)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.validating:
            self._end_in_validation()
        if not self.signalled:
            self.signalled = now
            _say(b'SIGTERM: saving a checkpoint after this step, then exiting.\n')
            if hasattr(signal, 'setitimer'):  # not on Windows
                signal.signal(signal.SIGALRM, self._on_alarm)
                signal.setitimer(signal.ITIMER_REAL, WAIT_FOR_DATA, AGAIN)
        elif now - self.signalled > ONE_SIGNAL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        """Exit unless a step is running; called after `WAIT_FOR_DATA` and then every `AGAIN`."""
        if self.steps is None:
            return
        _stop_alarm()
        if self._group is None:
            path = self._save(self._runner, self.steps)
            said = f'SIGTERM, no data for the next step: saved {path}; continue with --resume.\n'
        else:
            said = 'SIGTERM, no data for the next step: --resume takes the last checkpoint.\n'
        _say(said.encode())
        _end()

    @staticmethod
    def _end_in_validation() -> NoReturn:
        _say(b'SIGTERM in validation: --resume takes the last checkpoint.\n')
        _end()


def _stop_alarm() -> None:
    if hasattr(signal, 'setitimer'):
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _end() -> NoReturn:
    """Exit. At exit Python joins the loader's workers, which may hang and ignore SIGTERM."""
    if hasattr(signal, 'SIGCHLD'):
        # First, because torch's handler raises an error for a worker that is killed.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()
    sys.exit(STATUS)


def _say(words: bytes) -> None:
    os.write(2, words)  # `print` is not reentrant, and the signal may have interrupted one


def _set_up_worker(init: Callable[[int], None] | None, worker_id: int) -> None:
    """Set up a loader's worker: schedulers signal it, too, but the last step needs its data."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the worker
    if sys.platform == 'linux':
        # A decoder that hangs with the GIL held blocks the thread below, but not the kernel.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if hasattr(signal, 'sigtimedwait'):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()
    if init is not None:
        init(worker_id)


def _obey_parent(parent: int) -> None:
    """Exit on a SIGTERM that the parent sent, or when the parent is gone; ignore other senders.

    torch's workers notice the latter, too, but stay: they wait for someone to read their batch.
    """
    while os.getppid() == parent:
        received = signal.sigtimedwait({signal.SIGTERM}, ALIVE_CHECK)
        if received is not None and received.si_pid == parent:
            break
    os._exit(0)
