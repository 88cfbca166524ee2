"""One process of torchrun for test_sharded_tools.py: `sharded_jobs.py FOLDER`.

Trains each config FOLDER/{det,seg,video}{,_fsdp,_zero1}.py by tools/train.py and goes on with those
of segmentation; tests what FSDP wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from distributed_jobs import SHARED, TASKS

KINDS = ('', '_fsdp', '_zero1')
FIRST = 2  # steps, after which segmentation with a fragment goes on to
LAST = 3


def main(folder: Path) -> None:
    from swinv2_dense.engine.command_line import test, train

    torch.set_num_threads(1)
    launcher = ['--launcher', 'pytorch']
    for name in (f'{task}{kind}' for task in TASKS for kind in KINDS):
        task = name.split('_')[0]
        config, work = str(folder / f'{name}.py'), ['--work-dir', str(folder / name), *launcher]
        for steps in (FIRST, LAST)[int(name == 'seg') : 1 + (task == 'seg')]:
            options = [f'train_dataloader.batch_size={SHARED[task][0]}']
            options += [f'{key}={steps}' for key in ('train_cfg.max_iters', INTERVAL)]
            if name == 'seg_fsdp':
                options.append('strategy.state_dict_cfg=local')
            again = ['--resume'] if steps == LAST and name != 'seg' else []
            flags = ['--seed', '0', '--no-validate', *again]
            train([config, *work, *flags, '--cfg-options', *options])
        if name in ('det_fsdp', 'seg_fsdp'):
            weights = str(folder / name / f'iter_{steps}.pth')
            test([config, weights, '--work-dir', str(folder / f'{name}_test'), *launcher])
    dist.destroy_process_group()


INTERVAL = 'default_hooks.checkpoint.interval'

if __name__ == '__main__':
    main(Path(sys.argv[1]))
