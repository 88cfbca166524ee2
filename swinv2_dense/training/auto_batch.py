"""`--auto-batch`: the most samples that fit into memory at a time, with the global batch as it is.

Real training steps are tried, on the largest inputs of the training pipeline: twice as many samples
each time until the memory is exhausted, then the numbers between. They leave model, optimizer and
random states as they were.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ..checks.batch_norm import norms_of_one_value
from ..config_parts import set_custom_hook, type_name
from ..costs.counts import Kept
from ..distributed.launchers import world_size
from ..errors import ConfigError
from ..resilience.micro_batches import MicroBatches, micro_batches_of
from .batch_size import batch_of
from .elastic import check_divisible, described, set_micro_batches
from .terminal import on_terminal
from .untouched import local_part, states_of, untouched

GIB = 2**30
USABLE = 0.9  # of a GPU; the rest is for fragmentation, and for what the largest sample lacks
DRAWN = 8  # samples of which the one with the most objects is tried


def find_batch(cfg: Config, limit: float, size: Sequence[int] | None) -> None:
    """Let a run find its micro-batches before the first iteration.

    The global batch is that of the resumed checkpoint, or `auto_scale_lr.base_batch_size`, or that
    of the config.

    Args:
        cfg: Changed in place.
        limit: GiB per process; inf: the memory of the GPU.
        size: (H, W) of the largest inputs; None if the config does not say.

    Raises:
        ConfigError: There is no limit, the config cannot train, or the batch cannot be divided.
    """
    if limit == math.inf and not torch.cuda.is_available():
        raise ConfigError(
            '--auto-batch looks for the memory limit of a GPU, and there is none: give one in GiB, '
            'as in --auto-batch 8'
        )
    for key in ('train_cfg', 'train_dataloader', 'optim_wrapper'):
        if not cfg.get(key):
            raise ConfigError(f'--auto-batch needs {key}, and the config has none')
    processes = world_size(cfg.get('launcher', 'none'))
    passes = cfg.optim_wrapper.get('accumulative_counts', 1)
    before, base = micro_batches_of(cfg.train_cfg), None
    if not cfg.get('resume'):
        base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    total = base or batch_of(cfg).size
    share, rest = divmod(total, processes * passes)
    if rest:
        source = 'auto_scale_lr.base_batch_size' if base else 'the global batch'
        divisor = f'{processes} processes' + f' x {passes} accumulated' * (passes > 1)
        raise ConfigError(
            f'--auto-batch keeps {source}={total}, which {divisor} do not divide: use a number '
            f'of processes that divides {total // passes}'
        )
    plan = MicroBatches(processes, share)
    started = (
        before.origin[:2] if before else (processes, cfg.train_dataloader.get('batch_size', 1))
    )
    check_divisible(cfg, plan._replace(started_as=started if cfg.get('resume') else None))
    set_micro_batches(cfg, plan)
    given = None if limit == math.inf else limit
    set_custom_hook(cfg, dict(type='AutoBatchHook', limit=given, size=size and [*size]))


@HOOKS.register_module()
class AutoBatchHook(Hook):
    """Divide the samples of each process into the largest micro-batches that fit.

    The config gets the result instead of this hook.

    Args:
        limit: GiB per process; None: the memory of the GPU.
        size: (H, W) in pixels of the largest inputs; None if unknown.
    """

    # After the seed of the sampler is restored, before other hooks check or report the batch.
    priority = 'ABOVE_NORMAL'

    def __init__(self, limit: float | None, size: Sequence[int] | None = None) -> None:
        self.limit, self.size = limit, size

    def before_train(self, runner: Any) -> None:
        loop, processes = runner.train_loop, get_world_size()
        share = loop.plan.samples // processes
        runner.model.train()
        least = 2 if any(norms_of_one_value(runner.model)) else 1
        sizes = [size for size in divisors(share) if size >= least]
        if not sizes:
            return  # CheckBatchNormHook says why
        with untouched(runner.model, runner.optim_wrapper.optimizer):
            batch = LargestBatch(loop.dataloader, self.size)
            trial = Trial(runner, self.limit, batch)
            found = largest(sizes, trial.fits)
        if not found:
            raise ConfigError(
                f'--auto-batch: a training step with {in_words(least)} does not fit into '
                f'{trial.memory}; try model.backbone.with_cp=True, smaller images, or '
                'configs/_base_/schedules/fsdp.py'
            )
        loop.divide(MicroBatches(loop.plan.samples // found, found))
        self._save(runner, loop.plan)
        on_terminal(runner.logger, self._report(runner, loop, found, trial))

    def _save(self, runner: Any, plan: MicroBatches) -> None:
        cfg = runner.cfg
        set_micro_batches(cfg, plan)
        cfg.train_dataloader.batch_size = plan.size
        cfg.custom_hooks = [h for h in cfg.custom_hooks if type_name(h) != type(self).__name__]
        runner.dump_config()

    @staticmethod
    def _report(runner: Any, loop: Any, found: int, trial: Trial) -> str:
        processes, accumulated = get_world_size(), loop.steps.accumulated
        passes = loop.plan.number * accumulated // processes
        text = f'--auto-batch: {in_words(found)} at a time fit into {trial.memory}'
        text += f', {min(trial.too_many)} do not' if trial.too_many else ''
        text += f' (inputs of {trial.batch.shape}): {described(processes, found, passes)}, '
        text += f'global batch {loop.plan.samples * accumulated}'
        norms = sum(isinstance(m, _BatchNorm) and m.training for m in runner.model.modules())
        if norms and passes > 1:
            text += f'. {norms} batch norm layers see one of {passes} accumulated passes at a time'
        return text


def in_words(count: int) -> str:
    return f'{count} sample{"s" * (count != 1)}'


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def largest(sizes: Sequence[int], fits: Callable[[int], bool]) -> int:
    """The largest of ascending `sizes` that fits, 0 if none: doubled first, then bisected."""
    good, bad = -1, len(sizes)
    while good + 1 < bad:
        if bad == len(sizes) and good >= 0:  # nothing has failed yet
            doubled = (i for i in range(good + 1, bad) if sizes[i] >= 2 * sizes[good])
            place = next(doubled, bad - 1)
        else:
            place = (good + bad) // 2 if good >= 0 else 0
        if fits(sizes[place]):
            good = place
        else:
            bad = place
    return sizes[good] if good >= 0 else 0


class LargestBatch:
    """Batches of copies of one training sample, as large as the pipeline makes them.

    Args:
        loader: The loader of the training.
        size: (H, W) in pixels of the largest inputs, if the config says it.
    """

    def __init__(self, loader: Any, size: Sequence[int] | None) -> None:
        dataset, self.collate = loader.dataset, loader.collate
        places = np.linspace(0, len(dataset) - 1, min(DRAWN, len(dataset)))
        samples = [dataset[int(place)] for place in places]
        self.sample = max(samples, key=_objects)
        sizes = [*filter(None, map(_spatial, samples))]
        largest_drawn = [max(sides) for sides in zip(*sizes)]
        self.size = largest_drawn
        # Batches are padded to the largest height and the largest width of their images.
        is_mixed = any(h > w for h, w in sizes) and any(w > h for h, w in sizes)
        if size is not None and is_mixed and not loader.cfg.get('batch_sampler'):
            self.size = [max(size), max(size)]
        elif size is not None:
            self.size = [max(pair) for pair in zip(largest_drawn, size)]
        if self.size:
            self.sample = enlarged(self.sample, self.size)
        self.shape = 'x'.join(map(str, self.size)) or 'the drawn samples'

    def of(self, count: int) -> Any:
        return self.collate([copy.deepcopy(self.sample) for _ in range(count)])


def _spatial(sample: Any) -> list[int]:
    inputs = sample.get('inputs') if isinstance(sample, Mapping) else None
    return [*inputs.shape[-2:]] if isinstance(inputs, Tensor) and inputs.dim() >= 3 else []


def _objects(sample: Any) -> int:
    """The number of objects in a sample."""
    about = sample.get('data_samples') if isinstance(sample, Mapping) else None
    return len(getattr(about, 'gt_instances', None) or ())


def enlarged(sample: Mapping, size: Sequence[int]) -> dict:
    """A sample whose inputs, and maps of the same size, are padded with zeros to (H, W)."""
    before = sample['inputs'].shape[-2:]
    padding = (0, max(0, size[1] - before[1]), 0, max(0, size[0] - before[0]))
    found = {**sample, 'inputs': F.pad(sample['inputs'], padding)}
    if isinstance(sample.get('data_samples'), BaseDataElement):
        about = found['data_samples'] = sample['data_samples'].clone()
        for key, field in about.items():
            if isinstance(field, PixelData) and field.shape == before:
                padded = {name: F.pad(value, padding) for name, value in field.items()}
                setattr(about, key, PixelData(**padded))
    return found


class Trial:
    """Training steps with a limited memory.

    Attributes:
        memory: The limit, in words.
        used: Bytes that a step took, by number of samples.
        too_many: Numbers of samples that did not fit.
    """

    def __init__(self, runner: Any, limit: float | None, batch: LargestBatch) -> None:
        self.runner, self.batch = runner, batch
        self.device = next(runner.model.parameters()).device
        self.used: dict[int, float] = {}
        self.too_many: list[int] = []
        self.limit = memory_limit(self.device, limit)
        self.memory = f'{self.limit / GIB:.3g} GiB'

    def fits(self, count: int) -> bool:
        """Whether a step with `count` samples fits, on all processes."""
        optimizer, fits = self.runner.optim_wrapper.optimizer, self._is_likely(count)
        for _ in range(1 if states_of(optimizer) else 2):  # the first step allocates the moments
            fits = fits and self._agree(self._try(lambda: self._backward(count), count))
            # Only then, because sharded optimizers wait for each other in a step.
            fits = fits and self._agree(self._try(optimizer.step, count))
            optimizer.zero_grad(set_to_none=True)
        if not fits:
            self.too_many.append(count)
        return fits

    def _is_likely(self, count: int) -> bool:
        """False if the last two numbers of samples let expect that this one does not fit.

        A process whose memory is exhausted within FSDP or SyncBN leaves the others waiting, so
        several processes do not try it.
        """
        if get_world_size() == 1 or len(self.used) < 2:
            return True
        (n, bytes_n), (m, bytes_m) = [*self.used.items()][-2:]
        expected = bytes_m + (bytes_m - bytes_n) / (m - n) * (count - m)
        return self._agree(expected <= self.limit)

    def _agree(self, fits: bool) -> bool:
        agreed = torch.tensor(int(fits), device=self.device)
        all_reduce(agreed, 'min')
        return bool(agreed)

    def _try(self, step: Callable[[], Any], count: int) -> bool:
        model, optimizer = self.runner.model, self.runner.optim_wrapper.optimizer
        gc.collect()
        try:
            with limited(self.device, self.limit, model, optimizer) as used:
                step()
                self.used[count] = max(self.used.get(count, 0), used())
        except torch.cuda.OutOfMemoryError:
            return False
        return True

    def _backward(self, count: int) -> None:
        model = self.runner.model
        # A process whose memory is exhausted must not leave others waiting for its gradients.
        is_ddp = isinstance(model, DistributedDataParallel)
        with model.no_sync() if is_ddp else contextlib.nullcontext():
            wrapper = BackwardOnly(self.runner.optim_wrapper)
            train_step = self.runner.train_loop.steps.train_step
            train_step(self.batch.of(count), optim_wrapper=wrapper)


def memory_limit(device: torch.device, limit: float | None) -> float:
    """Bytes that a process may use, of `limit` GiB or of its GPU."""
    given = math.inf if limit is None else limit * GIB
    if device.type != 'cuda':
        return given
    return min(given, USABLE * torch.cuda.get_device_properties(device).total_memory)


class BackwardOnly:
    """What `train_step` needs of an optimizer wrapper, without the step of the optimizer."""

    def __init__(self, wrapper: Any) -> None:
        self.wrapper = wrapper
        self.optim_context = wrapper.optim_context

    def update_params(self, loss: Tensor, **_: Any) -> None:
        loss.backward()


@contextlib.contextmanager
def limited(
    device: torch.device, limit: float, model: nn.Module, optimizer: Any
) -> Iterator[Callable[[], float]]:
    """Raise `torch.cuda.OutOfMemoryError` in a training step that needs more than `limit` bytes.

    On the CPU, what is counted are parameters, gradients, moments, and the tensors that are kept
    for the backward pass.

    Yields:
        A function that returns the bytes used so far.
    """
    if device.type != 'cuda':
        fixed = fixed_bytes(model, optimizer)
        kept = LimitedKept(model, limit - fixed)
        with kept.hooks:
            yield lambda: fixed + kept.num_bytes
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(limit / total, device)
    try:
        yield lambda: torch.cuda.max_memory_reserved(device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()


class LimitedKept(Kept):
    """Counts what is kept for the backward pass, up to a limit in bytes."""

    def __init__(self, model: nn.Module, limit: float) -> None:
        super().__init__(nn.Module())
        # Of sharded parameters, only the shard of this process has a storage.
        shards = map(local_part, model.parameters())
        self.known = {shard.untyped_storage().data_ptr() for shard in shards}
        self.limit = limit

    def pack(self, t: Tensor) -> Tensor:
        super().pack(t)
        if self.num_bytes > self.limit:
            raise torch.cuda.OutOfMemoryError(f'more than {self.limit / GIB:.3g} GiB are kept')
        return t


def fixed_bytes(model: nn.Module, optimizer: Any) -> int:
    """Bytes of parameters, gradients and moments."""
    parameters = list(model.parameters())
    tensors = [*parameters, *(p for p in parameters if p.requires_grad)]
    states = states_of(optimizer).values()
    tensors += [v for state in states for v in state.values() if isinstance(v, Tensor)]
    return sum(t.numel() * t.element_size() for t in map(local_part, tensors))
