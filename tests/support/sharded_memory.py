"""Peak memory of sharded training, one process of several: `sharded_memory.py FOLDER`.

Writes FOLDER/RANK.json: for each stage of a training, the peak of the memory that the process
allocated (without files mapped into memory, whose pages the system can drop), and the time it took;
bytes of the parameters, of the largest block and of what is outside of blocks.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from allocated_memory import allocated, return_freed_memory, watched
from mmengine.config import Config
from sharded_training import OPTIM_WRAPPER, Samples

from swinv2_dense import config_path
from swinv2_dense.distributed.fsdp import ShardedStrategy
from swinv2_dense.models.blocks import SwinBlock

ARCH = dict(embed_dims=256, depths=(2, 46), num_heads=(8, 16))  # 148 M parameters
MODEL = dict(type='Classifier', num_classes=3, arch=ARCH)
STAGES = ('initialize', 'train', 'save', 'load', 'resume')


def sizes() -> dict[str, int]:
    from mmengine.registry import MODELS

    with torch.device('meta'):
        model = MODELS.build(MODEL)
    blocks = [m for m in model.modules() if isinstance(m, SwinBlock)]
    blocks = [sum(p.nbytes for p in block.parameters()) for block in blocks]
    total = sum(p.nbytes for p in model.parameters())
    return dict(parameters=total, block=max(blocks), others=total - sum(blocks))


def prepared(folder: Path) -> ShardedStrategy:
    settings = dict(Config.fromfile(config_path('_base_/schedules/fsdp.py')).strategy)
    settings.pop('type')
    strategy = ShardedStrategy(work_dir=str(folder), **settings)
    strategy.prepare(dict(MODEL), optim_wrapper=OPTIM_WRAPPER)
    return strategy


def train(strategy: ShardedStrategy) -> None:
    data = {key: [value] for key, value in Samples()[dist.get_rank()].items()}
    losses = strategy.model.train_step(data, strategy.optim_wrapper)
    assert losses['loss'].isfinite()


def main(folder: Path) -> None:
    dist.init_process_group('gloo')
    torch.set_num_threads(1)
    return_freed_memory()
    file = str(folder / 'iter_1.pth')
    found = sizes()
    gc.collect()
    base = allocated()
    with watched(found, 'initialize'):
        strategy = prepared(folder)
    with watched(found, 'train'):
        train(strategy)
    with watched(found, 'save'):
        strategy.save_checkpoint(file, extra_ckpt=dict(meta=dict(iter=1)))
    del strategy
    gc.collect()
    dist.barrier()
    strategy = prepared(folder)
    with watched(found, 'load'):
        strategy.load_checkpoint(file)
    with watched(found, 'resume'):
        strategy.resume(file)
    for stage in STAGES:
        found[stage]['peak'] -= base
    (folder / f'{dist.get_rank()}.json').write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == '__main__':
    main(Path(sys.argv[1]))
