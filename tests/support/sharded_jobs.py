"""One process of torchrun for test_sharded_tools.py: `sharded_jobs.py FOLDER`.

Trains each config FOLDER/{det,seg,video}{,_fsdp,_zero1}.py by tools/train.py, those of segmentation
with a fragment in two parts, with each fragment from the checkpoint of another and from one of an
earlier version; tests what FSDP wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from distributed_jobs import SHARED, TASKS
from earlier_version import write_earlier

KINDS = ('', '_fsdp', '_zero1')
FIRST, LAST = 2, 3  # steps
LENGTHS = dict(seg=[LAST], seg_fsdp=[FIRST, LAST], seg_zero1=[FIRST, LAST])
HANDED_ON = dict(seg='seg_fsdp', seg_fsdp='seg_zero1', seg_zero1='seg_fsdp')  # config: first part
TESTED = ('det_fsdp', 'seg_fsdp')
EARLIER = ('seg_fsdp', 'seg_zero1')  # resumed from what an earlier version wrote
INTERVAL = 'default_hooks.checkpoint.interval'


def main(folder: Path) -> None:
    from swinv2_dense.cli.test import main as test
    from swinv2_dense.cli.train import main as train

    torch.set_num_threads(1)
    launcher = ['--launcher', 'pytorch']
    moments = 'optim_wrapper.optimizer.momentum=0.9'
    for task, kind in ((task, kind) for task in TASKS for kind in KINDS):
        name = f'{task}{kind}'
        command = [str(folder / f'{name}.py'), '--work-dir', str(folder / name), *launcher]
        command += ['--seed', '0', '--no-validate']
        batch = f'train_dataloader.batch_size={SHARED[task][0]}'
        sharded = ['strategy.state_dict_cfg=local'] if name == 'seg_fsdp' else []
        for steps in LENGTHS.get(name, [FIRST]):
            again = ['--resume'] if Path(folder, name, 'last_checkpoint').exists() else []
            options = [
                batch,
                moments,
                f'train_cfg.max_iters={steps}',
                f'{INTERVAL}={steps}',
                *sharded,
            ]
            train([*command, *again, '--cfg-options', *options])
        if name in TESTED:
            weights = str(folder / name / f'iter_{steps}.pth')
            work = ['--work-dir', str(folder / f'{name}_test'), *launcher]
            test([str(folder / f'{name}.py'), weights, *work])
    for name, first in HANDED_ON.items():
        resume = ['--resume', str(folder / first / f'iter_{FIRST}.pth')]
        work = ['--work-dir', str(folder / f'{name}_after_{first}'), *launcher, *resume]
        options = [f'train_dataloader.batch_size={SHARED["seg"][0]}', f'train_cfg.max_iters={LAST}']
        options += [moments, f'{INTERVAL}={LAST}']
        train([str(folder / f'{name}.py'), *work, '--no-validate', '--cfg-options', *options])
    for name in EARLIER:
        work, checkpoint = folder / f'{name}_earlier', f'iter_{FIRST}.pth'
        if dist.get_rank() == 0:
            write_earlier(folder / name, work, checkpoint)
        dist.barrier()
        command = [str(work / f'{name}.py'), '--work-dir', str(work), *launcher, '--no-validate']
        options = [f'train_cfg.max_iters={LAST}', f'{INTERVAL}={LAST}']
        train([*command, '--resume', str(work / checkpoint), '--cfg-options', *options])
    dist.destroy_process_group()


if __name__ == '__main__':
    main(Path(sys.argv[1]))
