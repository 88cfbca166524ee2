"""Resumed training that equals uninterrupted training, bit for bit on the same machine.

mmengine restores weights, optimizer, schedules, EMA and logs. It does not restore random states,
the data order if the config has no seed, accumulated gradients or a validation that was due. It
restarts the epoch, and iteration-based loops load the data that they skip.

Random states are not stored. Each step and each sample has its own seed, derived from the seed of
the training and from its progress. So it does not matter what else draws random numbers between two
steps, or on which worker.
"""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader

from ..checkpoints.sharded_tensors import placed_like
from ..config_parts import type_name
from .data_order import EPOCH, STEP, VALIDATION, ResumableLoader, seed_all
from .micro_batches import KEY as MICRO_BATCHES
from .micro_batches import (
    MicroBatches,
    MicroBatchLoader,
    MicroBatchSteps,
    check_merged,
    micro_batches_of,
)
from .schedules import fit_run

META_KEY = 'swinv2_dense_progress'  # in `meta` of a checkpoint
GRADIENTS_KEY = 'accumulated_gradients'  # in a checkpoint


def make_resumable(cfg: Config) -> None:
    """Let `cfg` train with the loops below, unless it names other loops."""
    train_cfg = cfg.get('train_cfg')
    if not train_cfg:
        return
    by_epoch = train_cfg.get('by_epoch', True)
    default = EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop
    name = type_name(train_cfg) or default.__name__
    if name in RESUMABLE:
        train_cfg.pop('by_epoch', None)
        train_cfg.type = RESUMABLE[name]


class InMicroBatches:
    """What both loops share: iterations of micro-batches, if the config sets them.

    Attributes:
        plan: The micro-batches; None if each process has one, that of its loader.
        steps: Trains on them.
    """

    plan: MicroBatches | None = None
    steps: MicroBatchSteps | None = None
    epoch_length: int | None = None

    def _load(self, dataloader: Any, given: dict | None, endless: bool, runner: Any) -> Any:
        self.plan = micro_batches_of({MICRO_BATCHES: given})
        if self.plan is None:
            return _loader(runner, dataloader, endless)
        return MicroBatchLoader(runner, dataloader, self.plan, endless)

    def divide(self, plan: MicroBatches) -> None:
        """Train on other micro-batches, before the first iteration."""
        self.plan = plan
        self.dataloader.divide(plan)
        self.steps.count(plan, self.iter, self.max_iters)

    def run(self) -> Any:
        if self.plan is None:
            return super().run()
        check_merged(self)
        model, wrapper = self.runner.model, self.runner.optim_wrapper
        self.steps = MicroBatchSteps(self.runner, wrapper._accumulative_counts)
        self.steps.count(self.plan, self.iter, self.max_iters)
        # On the instance: mmengine's loops call it, whatever class wraps the model.
        model.train_step = self.steps
        try:
            return super().run()
        finally:
            model.train_step = self.steps.train_step


@LOOPS.register_module()
class ResumableEpochLoop(InMicroBatches, EpochBasedTrainLoop):
    """EpochBasedTrainLoop that can start in the middle of an epoch.

    Args:
        runner: The runner.
        dataloader: A loader or its config.
        micro_batches: See `micro_batches.MicroBatches`.
        kwargs: Further arguments of `EpochBasedTrainLoop`.

    Attributes:
        position: Number of iterations done in the current epoch.
    """

    position = 0

    def __init__(
        self, runner: Any, dataloader: Any, micro_batches: dict | None = None, **kwargs: Any
    ) -> None:
        loader = self._load(dataloader, micro_batches, False, runner)
        super().__init__(runner, loader, **kwargs)
        self.epoch_length = len(loader)
        fit_run(self)

    def run_epoch(self) -> None:
        self.dataloader.start(self.runner.seed, self._epoch, self.position)
        super().run_epoch()
        self.position = 0

    def run_iter(self, idx: int, data_batch: Any) -> None:
        if data_batch is not None:  # else it was skipped, see ResumableLoader
            self.position = idx + 1  # before the hooks run: one of them may save a checkpoint
            super().run_iter(idx, data_batch)


@LOOPS.register_module()
class ResumableIterLoop(InMicroBatches, IterBasedTrainLoop):
    """IterBasedTrainLoop that loads no data for the iterations that it skips.

    Takes the arguments of `ResumableEpochLoop` and `IterBasedTrainLoop`.
    """

    def __init__(
        self, runner: Any, dataloader: Any, micro_batches: dict | None = None, **kwargs: Any
    ) -> None:
        loader = self._load(dataloader, micro_batches, True, runner)
        super().__init__(runner, loader, **kwargs)
        self.dataloader_iterator = SkippableIterator(self.dataloader)
        self.fast_forward_on_resume = False  # of onedl-mmengine; it would lose the data order
        fit_run(self)

    def run(self) -> Any:
        self.dataloader.start(self.runner.seed, 0, self._iter)
        return super().run()


RESUMABLE = {
    'EpochBasedTrainLoop': 'ResumableEpochLoop',
    'IterBasedTrainLoop': 'ResumableIterLoop',
}


class SkippableIterator:
    """The batches of a loader. mmengine skips with `next`, onedl-mmengine with `skip_iter`."""

    def __init__(self, loader: ResumableLoader) -> None:
        self._batches = iter(loader)

    def __next__(self) -> Any:
        return next(self._batches)

    def skip_iter(self, count: int) -> None:
        for _ in range(count):
            next(self)


def _loader(runner: Any, dataloader: Any, endless: bool) -> ResumableLoader:
    if not isinstance(dataloader, DataLoader):
        dataloader = runner.build_dataloader(
            dataloader,
            seed=runner.seed,
            diff_rank_seed=runner._randomness_cfg.get('diff_rank_seed', False),
        )
    return ResumableLoader(dataloader, endless)


@HOOKS.register_module()
class ResumeHook(Hook):
    """Seed each step, and store in checkpoints what mmengine leaves out."""

    # Seeds are set before other hooks draw random numbers for the step.
    priority = 'HIGHEST'

    def __init__(self) -> None:
        self.validating = False
        self.progress: dict[str, Any] = {}
        self.gradients: dict[str, Any] = {}

    def before_train_epoch(self, runner: Any) -> None:
        seed_all(runner.seed, EPOCH, runner.epoch, get_rank())

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        seed_all(runner.seed, STEP, runner.iter, get_rank())

    def before_val(self, runner: Any) -> None:
        self.validating = True

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        seed_all(runner.seed, VALIDATION, runner.iter, batch_idx, get_rank())

    def after_val(self, runner: Any) -> None:
        self.validating = False

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        meta, loop = checkpoint['meta'], runner.train_loop
        if self.validating:  # mmengine's FlexibleRunner counts the last step twice
            meta.update(epoch=runner.epoch, iter=runner.iter)
        # At the end of an epoch CheckpointHook stores the next one, of which nothing is done yet.
        is_within_epoch = meta['epoch'] == runner.epoch
        meta[META_KEY] = dict(
            position=getattr(loop, 'position', 0) if is_within_epoch else 0,
            epoch_length=len(loop.dataloader),
            validated=self.validating,
            sampler_seed=getattr(sampler_of(loop.dataloader), 'seed', None),
            batch=batch_of_run(runner),
        )
        if 'optimizer' in checkpoint and is_accumulating(runner):
            checkpoint[GRADIENTS_KEY] = self._gradients(runner)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        if runner._resume:
            self.progress = checkpoint.get('meta', {}).get(META_KEY, {})
            self.gradients = checkpoint.get(GRADIENTS_KEY, {})

    def before_train(self, runner: Any) -> None:
        loop, progress = runner.train_loop, self.progress
        # Without a seed in the config, mmengine's samplers draw a new one in each run.
        if progress.get('sampler_seed') is not None:
            for sampler in samplers_of(loop.dataloader):
                sampler.seed = progress['sampler_seed']
        if progress.get('position'):
            self._go_to(runner, progress)
        if not is_model_wrapper(runner.model):
            parameters = dict(runner.model.named_parameters())
            for name, gradient in self.gradients.items():
                parameters[name].grad = placed_like(gradient, parameters[name])
        self.gradients = {}

    @staticmethod
    def _go_to(runner: Any, progress: dict) -> None:
        """Start in the middle of an epoch, if epochs still have the same length."""
        loop = runner.train_loop
        if not hasattr(loop, 'position'):
            return
        if progress['epoch_length'] == len(loop.dataloader):
            loop.position = progress['position']
        else:
            runner.logger.warning(
                f'The checkpoint was written after {progress["position"]} of '
                f'{progress["epoch_length"]} iterations of an epoch, which now has '
                f'{len(loop.dataloader)}: the epoch starts over.'
            )

    @staticmethod
    def _gradients(runner: Any) -> dict[str, Any]:
        if not is_model_wrapper(runner.model):
            named = runner.model.named_parameters()
            gradients = {name: p.grad for name, p in named if p.grad is not None}
            # Sharded ones are gathered one by one when they are written.
            return {n: g if isinstance(g, DTensor) else g.cpu() for n, g in gradients.items()}
        runner.logger.warning(
            'This checkpoint is written while gradients accumulate, and lacks those of the other '
            'processes: a resumed run loses them. Save at multiples of '
            f'optim_wrapper.accumulative_counts={runner.optim_wrapper._accumulative_counts}.'
        )
        return {}


@HOOKS.register_module(
    name=['PendingValidationHook', 'MissedValidationHook']
)  # the old name, for one release
class PendingValidationHook(Hook):
    """Validate first if the run was interrupted between a checkpoint and the validation after it.

    Without this, metrics and the best checkpoint would differ from an uninterrupted run.
    """

    priority = 'LOWEST'  # the validation needs what the `before_train` of all other hooks sets up

    def before_train(self, runner: Any) -> None:
        resume = next((hook for hook in runner.hooks if isinstance(hook, ResumeHook)), None)
        if resume is None or not resume.progress:
            return
        hub = runner.message_hub
        # In an uninterrupted run, the validation still sees the numbers of the last iteration.
        hub.update_info('iter', runner.iter - 1)
        if not resume.progress['validated'] and _validation_is_due(runner):
            runner.logger.info('Running the validation that was due when the run was interrupted.')
            if isinstance(runner.train_loop, EpochBasedTrainLoop):
                hub.update_info('epoch', runner.epoch - 1)
            runner.val_loop.run()


def _validation_is_due(runner: Any) -> bool:
    """The condition that mmengine's loops check after an iteration or an epoch."""
    loop = runner.train_loop
    if runner.val_loop is None or getattr(loop, 'position', 0):
        return False
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    done, last = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
    loop._decide_current_val_interval()
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)


def is_accumulating(runner: Any) -> bool:
    """Whether the last iteration only accumulated gradients for a later optimizer step."""
    wrapper, steps = runner.optim_wrapper, getattr(runner.train_loop, 'steps', None)
    if steps is not None and steps.idle:
        return True
    return isinstance(wrapper, OptimWrapper) and not wrapper.should_update()


def sampler_of(loader: Any) -> Any:
    """A loader's sampler of indices, inside its batch sampler or not."""
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)


def samplers_of(loader: Any) -> list[Any]:
    """A loader's samplers of indices; several if it loads several micro-batches at a time."""
    samplers = getattr(loader.batch_sampler, 'samplers', None)
    return samplers() if samplers else [sampler_of(loader)]


def batch_of_run(runner: Any) -> dict[str, Any] | None:
    """How a step of the optimizer is divided, for checkpoints; None if unknown.

    Returns:
        `number` and `size` of the micro-batches per iteration with which the training started,
        `passes`, the iterations per step, `processes`, how many there are now, and `planned`,
        whether the config has micro-batches.
    """
    loop, wrapper, processes = runner.train_loop, runner.optim_wrapper, get_world_size()
    planned = getattr(loop, 'steps', None) is not None
    if planned:
        number, size = loop.plan.origin[:2]
        passes = loop.steps.accumulated
    else:
        number, passes = processes, getattr(wrapper, '_accumulative_counts', 1)
        size = getattr(loop.dataloader.batch_sampler, 'batch_size', None)
    if size is None:
        return None
    return dict(number=number, size=size, passes=passes, processes=processes, planned=planned)
