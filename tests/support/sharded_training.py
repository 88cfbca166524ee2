"""One process of sharded trainings on the CPU: `sharded_training.py RANK FOLDER KIND`.

Writes to FOLDER for each: by rank the loss of each step, learning rate and decay by parameter, and
the numbers held; checkpoints.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from allocated_memory import allocated, return_freed_memory, watched
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS, RUNNERS
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import Dataset

from swinv2_dense import SwinTransformerV2, config_path
from swinv2_dense.checkpoints.sharded_tensors import own_part
from swinv2_dense.distributed.fsdp import ShardedStrategy
from swinv2_dense.distributed.parameters import unwrapped_name
from swinv2_dense.distributed.zero import ZeroStrategy
from swinv2_dense.errors import CheckpointError

WORLD_SIZE = 2
STEPS = 2
ARCH = dict(embed_dims=8, depths=(2, 2), num_heads=(1, 2))
LARGE = dict(embed_dims=192, depths=(2, 8), num_heads=(6, 12))  # 15 M parameters
OPTIM_WRAPPER = dict(
    type='OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    # Without a large eps, rounding determines the step for gradients close to zero.
    optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.05, eps=1e-3),
    paramwise_cfg=dict(backbone_lr_mult=0.1, layer_decay=0.9),
    clip_grad=dict(max_norm=0.5),
)


@MODELS.register_module()
class Classifier(BaseModel):
    """A backbone with activation checkpointing, and a linear head."""

    def __init__(
        self, num_classes: int, arch: str | dict = ARCH, pretrained: str | None = None
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = SwinTransformerV2(
            arch,
            init_cfg=pretrained and dict(type='Pretrained', checkpoint=pretrained),
            window_size=4,
            drop_path_rate=0.0,
            out_indices=(1,),
            with_cp=True,
            sequential_attention=True,
        )
        self.head = nn.Linear(self.backbone.out_channels[-1], num_classes)

    def init_weights(self) -> None:
        self.backbone.init_weights()
        with torch.no_grad():
            for param in self.head.parameters():
                param.copy_(torch.arange(param.numel()).sin().view_as(param))

    def forward(self, inputs: list[Tensor], label: list[int], mode: str) -> dict[str, Tensor]:
        scores = self.head(self.backbone(torch.stack(inputs))[-1].mean((2, 3)))
        return dict(loss=F.cross_entropy(scores, torch.tensor(label)))


@DATASETS.register_module()
class Samples(Dataset):
    """Eight fixed noise images with a class; image `broken` is NaN."""

    def __init__(self, broken: int | None = None) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        image = torch.randn(3, 32, 32, generator=generator)
        return dict(inputs=image * torch.nan if index == self.broken else image, label=index % 3)


@HOOKS.register_module()
class RecordHook(Hook):
    """Records the losses of a run."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append(float(outputs['loss']))


LOCAL = dict(strategy=dict(state_dict_cfg='local'))
HOOKS_OF_ALL = ('BackboneWeightsHook', 'LoadReportHook', 'RecordHook')
# A loss of rank 1 in the second step is NaN.
SKIPPING = dict(
    train_cfg=dict(type='ResumableIterLoop', max_iters=STEPS),  # names the samples of a step
    custom_hooks=[dict(type=hook) for hook in (*HOOKS_OF_ALL, 'NonFiniteHook')],
    train_dataloader=dict(
        dataset=dict(type='Samples', broken=3),
        batch_size=1,
        sampler=dict(type='DefaultSampler', shuffle=False),
    ),
)
FRAGMENTS = dict(fsdp='fsdp', zero='zero1')


def config(folder: Path, name: str, steps: int, **changes) -> Config:
    """The training NAME of `fsdp` or `zero`; its work folder is FOLDER/NAME."""
    cfg = Config.fromfile(config_path(f'_base_/schedules/{FRAGMENTS[name.split("_")[0]]}.py'))
    cfg.merge_from_dict(
        dict(
            default_scope='mmengine',
            log_level='WARNING',
            launcher='pytorch',
            work_dir=str(folder / name),
            model=dict(type='Classifier', num_classes=3),
            optim_wrapper=OPTIM_WRAPPER,
            train_cfg=dict(by_epoch=False, max_iters=steps),
            train_dataloader=dict(
                dataset=dict(type='Samples'),
                batch_size=1,
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=STEPS)
            ),
            custom_hooks=[dict(type=hook) for hook in HOOKS_OF_ALL],
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
            randomness=dict(seed=0),
        )
        | changes
    )
    return cfg


def optimizer_state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The optimizer moments of this process."""
    states = getattr(optimizer, 'optim', optimizer).state.values()
    assert not hasattr(optimizer, 'optim') or not optimizer.state  # no second copy
    return [own_part(value) for state in states for value in state.values() if value.dim()]


def held(tensors: Iterable[Tensor]) -> int:
    """Number of elements in the storages of tensors, which may share them."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors}
    return sum(storage.nbytes() for storage in storages.values()) // 4


def train(cfg: Config, folder: Path, name: str) -> None:
    runner = RUNNERS.build(cfg)
    runner.train()
    (losses,) = (hook.losses for hook in runner.hooks if isinstance(hook, RecordHook))
    names = {param: unwrapped_name(name) for name, param in runner.model.named_parameters()}
    optimizer = runner.optim_wrapper.optimizer
    groups = {
        names[param]: (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for param in group['params']
    }
    written = dict(
        losses=losses,
        groups=groups,
        parameters=held(map(own_part, runner.model.parameters())),
        units=[n for n, m in runner.model.named_modules() if isinstance(m, FSDPModule)],
        moments=sum(value.numel() for value in optimizer_state(optimizer)),
    )
    (folder / f'{name}_{dist.get_rank()}.json').write_text(json.dumps(written))


def train_all(folder: Path, kind: str) -> None:
    start = dict(load_from=str(folder / 'initial.pth'))
    parts = dict(optim_wrapper=OPTIM_WRAPPER | dict(accumulative_counts=2))
    runs = {kind: start, f'{kind}_parts': start | parts, f'{kind}_skipping': start | SKIPPING}
    if kind == 'fsdp':
        in_bf16 = dict(optim_wrapper=OPTIM_WRAPPER | dict(type='Bf16OptimWrapper'))
        runs |= dict(fsdp_bf16=start | in_bf16, fsdp_local=start | LOCAL)
    file = 'initial.pth' if dist.get_rank() == 0 else 'not_there.pth'
    init = dict(type='Classifier', num_classes=3, pretrained=str(folder / file))
    runs[f'{kind}_init'] = dict(model=init)
    if kind == 'fsdp':
        hooks = [dict(type=hook) for hook in (*HOOKS_OF_ALL, 'ResumeHook')]
        runs['fsdp_halfway'] = (
            start
            | parts
            | dict(
                train_cfg=dict(type='ResumableIterLoop', max_iters=STEPS),
                custom_hooks=hooks,
                default_hooks=dict(
                    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)
                ),
            )
        )
    for name, changes in runs.items():
        train(config(folder, name, STEPS, **changes), folder, name)
    for name in [name for name in (kind, 'fsdp_local') if name in runs]:
        last = dict(load_from=None, resume=str(folder / name / f'iter_{STEPS}.pth'))
        train(config(folder, name, 2 * STEPS, **runs[name] | last), folder, f'{name}_resumed')
    if kind == 'fsdp':
        last = dict(load_from=None, resume=str(folder / 'fsdp_halfway' / 'iter_1.pth'))
        last |= dict(work_dir=str(folder / 'fsdp_halfway_resumed'))
        changes = runs['fsdp_halfway'] | last
        train(config(folder, 'fsdp_halfway', STEPS, **changes), folder, 'fsdp_halfway_resumed')


def share(folder: Path, **changes) -> int:
    """Number of elements of SwinV2-T whose moments this process holds under ZeRO-1."""
    with torch.device('meta'):
        model = SwinTransformerV2('t')
    strategy = ZeroStrategy(work_dir=str(folder / 'share'))
    wrapper = strategy.build_optim_wrapper(OPTIM_WRAPPER | changes, model)
    groups = wrapper.optimizer.optim.param_groups
    return sum(param.numel() for group in groups for param in group['params'])


def peak(folder: Path) -> float:
    """Peak memory of loading weights and sharding them, in multiples of the model size."""
    model = dict(type='Classifier', num_classes=3, arch=LARGE)
    file = folder / 'tiny.pth'
    if dist.get_rank() == 0:
        torch.save(dict(state_dict=MODELS.build(model).state_dict()), file)
    dist.barrier()
    gc.collect()
    strategy = ShardedStrategy(work_dir=str(folder / 'peak'))
    base, found = allocated(), {}
    with watched(found, 'prepare'):
        strategy.prepare(dict(model, pretrained=str(file)))
    return (found['prepare']['peak'] - base) / file.stat().st_size


def failures(folder: Path) -> dict[str, str]:
    """Errors of this process where another one fails."""
    strategy = ShardedStrategy(work_dir=str(folder / 'failures'))
    strategy.prepare(dict(type='Classifier', num_classes=3))
    file = folder / 'failures' / 'whole.pth'
    strategy.save_checkpoint(str(file))
    before, found = file.read_bytes(), {}
    if dist.get_rank() == 0:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        strategy.save_checkpoint(str(file))
    except CheckpointError as error:
        found['save'] = str(error)
    if dist.get_rank() == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    assert list(file.parent.glob('.*')) == []
    for rank in range(WORLD_SIZE):  # each verifies a half of the entries
        damaged = folder / f'damaged_{rank}.pth'
        if dist.get_rank() == 0:
            with zipfile.ZipFile(file) as archive:
                entries = sorted(archive.infolist(), key=lambda entry: entry.file_size)
            own = [entry for entry in entries[rank::WORLD_SIZE] if '/data/' in entry.filename]
            start = own[-1].header_offset + 200
            damaged.write_bytes(before[:start] + b'?' + before[start + 1 :])
        dist.barrier()
        try:
            strategy.load_checkpoint(str(damaged))
        except CheckpointError as error:
            found[f'load_{rank}'] = str(error)
    return found


def main(rank: int, folder: Path, kind: str) -> None:
    # mmengine's own setup of the process group calls CUDA.
    store = f'file://{folder / "store"}'
    dist.init_process_group('gloo', init_method=store, rank=rank, world_size=WORLD_SIZE)
    os.environ['LOCAL_RANK'] = str(rank)
    torch.set_num_threads(1)
    return_freed_memory()
    if kind == 'fsdp':
        sizes = dict(peak=peak(folder), failures=failures(folder))
    else:
        alone = dict(constructor='DefaultOptimWrapperConstructor', paramwise_cfg=None)
        sizes = dict(groups=share(folder), one_group=share(folder, **alone))
    (folder / f'sizes_{rank}.json').write_text(json.dumps(sizes))
    train_all(folder, kind)
    dist.destroy_process_group()


if __name__ == '__main__':
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
