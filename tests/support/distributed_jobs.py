"""One process of test_distributed.py: `distributed_jobs.py FOLDER [ALONE]`, or of torchrun.

Trains and tests each config FOLDER/{det,seg,video}.py by the command lines, one after the other, as
one import of the libraries takes longer than a run. Writes work folders, predictions, and losses
by process to FOLDER. ALONE is the folder of another run, whose weights are tested.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn

TASKS = ('det', 'seg', 'video')
STEPS = 2
# Batches of one process: (batch size, accumulated parts) by task. Two have half the batch each, but
# for detection, whose losses are averaged by what an image holds: there one has a part for each.
ALONE = dict(det=(1, 2), seg=(4, 1), video=(4, 1))
SHARED = dict(det=(1, 1), seg=(2, 1), video=(2, 1))
UNEVEN = (3, 1)  # samples per process for batch norm


@HOOKS.register_module()
class RecordRankHook(Hook):
    """Write the initial weights, the losses of this process, and the class of the model wrapper."""

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []

    def before_train(self, runner) -> None:
        if get_rank() == 0:
            model = getattr(runner.model, 'module', runner.model)
            torch.save(
                {k: v.detach() for k, v in model.named_parameters()},
                Path(runner.work_dir, 'initial.pth'),
            )

    def before_test(self, runner) -> None:
        for metric in runner.test_evaluator.metrics:
            if hasattr(metric, 'iou_thrs'):  # pycocotools compares them to a number
                metric.iou_thrs = np.array(metric.iou_thrs)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append({name: float(value) for name, value in outputs.items()})

    def after_train(self, runner) -> None:
        search = getattr(runner.model, 'find_unused_parameters', None)
        model = getattr(runner.model, 'module', runner.model)
        frozen = [name for name, param in model.named_parameters() if not param.requires_grad]
        kind = type(runner.model).__name__
        written = dict(losses=self.losses, search=search, kind=kind, frozen=frozen)
        Path(runner.work_dir, f'record_{get_rank()}.json').write_text(json.dumps(written))


def norm_inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of all processes and their output gradients, (N, C, H, W), far from zero, in fp64."""
    generator = torch.Generator().manual_seed(0)
    shape = (sum(UNEVEN), 3, 2, 5)
    values = 50 + torch.randn(shape, generator=generator, dtype=torch.float64)
    return values, torch.randn(shape, generator=generator, dtype=torch.float64)


def run_norm(folder: Path) -> None:
    """A step of batch norm on the samples of this process, in DDP."""
    from swinv2_dense.distributed.cpu import DeviceAgnosticDDP

    rank = dist.get_rank()
    x, grad = (part.split(UNEVEN)[rank] for part in norm_inputs())
    norm = nn.SyncBatchNorm(3).double()
    model = DeviceAgnosticDDP(nn.Sequential(norm), broadcast_buffers=False)
    x = x.requires_grad_()
    y = model(x)
    (y * grad).sum().backward()
    result = dict(y=y.detach(), x=x.grad, weight=norm.weight.grad, state=dict(norm.state_dict()))
    norm.eval()
    torch.save({**result, 'eval': model(x).detach()}, folder / f'norm_{rank}.pth')


def run_tasks(folder: Path, alone: Path) -> None:
    from swinv2_dense.cli.test import main as test
    from swinv2_dense.cli.train import main as train

    is_shared = 'RANK' in os.environ
    launcher = ['--launcher', 'pytorch' if is_shared else 'none']
    for task in TASKS:
        size, parts = (SHARED if is_shared else ALONE)[task]
        config, iters = str(folder / f'{task}.py'), STEPS * parts
        options = [
            f'train_dataloader.batch_size={size}',
            f'optim_wrapper.accumulative_counts={parts}',
            f'train_cfg.max_iters={iters}',
            f'default_hooks.checkpoint.interval={iters}',
        ]
        if is_shared and task == 'video':
            options += ['runner_type=FlexibleRunner', 'strategy.type=DDPStrategy']
        work = ['--work-dir', str(folder / task), *launcher, '--seed', '0']
        train([config, *work, '--no-validate', '--cfg-options', *options])
        weights = alone / task / f'iter_{STEPS * ALONE[task][1]}.pth'
        work = ['--work-dir', str(folder / f'{task}_test'), *launcher]
        work += ['--dump', str(folder / f'{task}.pkl')]
        # Runs of one name that start in the same second share a log.
        test([config, str(weights), *work, '--cfg-options', f'experiment_name={task}_test'])


def main(folder: Path, alone: Path | None = None) -> None:
    torch.set_num_threads(1)
    run_tasks(folder, alone or folder)
    if dist.is_initialized():
        run_norm(folder)
        dist.destroy_process_group()


if __name__ == '__main__':
    main(*map(Path, sys.argv[1:]))
