"""One process of a sharded training on the CPU: `sharded_training.py RANK FOLDER`.

Writes to FOLDER: the loss of each step by rank, learning rate and decay by parameter, checkpoints.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS, RUNNERS
from torch import Tensor, nn
from torch.utils.data import Dataset

from swinv2_dense import SwinTransformerV2, config_path

WORLD_SIZE = 2
STEPS = 2
ARCH = dict(embed_dims=8, depths=(2, 2), num_heads=(1, 2))
OPTIM_WRAPPER = dict(
    type='OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    # Without a large eps, rounding decides on the step where a gradient is close to zero.
    optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.05, eps=1e-3),
    paramwise_cfg=dict(backbone_lr_mult=0.1, layer_decay=0.9),
    clip_grad=dict(max_norm=0.5),
)


@MODELS.register_module()
class Classifier(BaseModel):
    """A backbone with parts recomputed in the backward pass, and a linear head."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = SwinTransformerV2(
            ARCH,
            window_size=4,
            drop_path_rate=0.0,
            out_indices=(0, 1),
            with_cp=[False, True],
            sequential_attention=[True, False],
        )
        self.head = nn.Linear(16, num_classes)

    def init_weights(self) -> None:
        with torch.no_grad():
            for param in self.head.parameters():
                param.copy_(torch.arange(param.numel()).sin().view_as(param))

    def forward(self, inputs: list[Tensor], label: list[int], mode: str) -> dict[str, Tensor]:
        scores = self.head(self.backbone(torch.stack(inputs))[-1].mean((2, 3)))
        return dict(loss=F.cross_entropy(scores, torch.tensor(label)))


@DATASETS.register_module()
class Samples(Dataset):
    """Eight fixed images of noise with a class."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        image = torch.randn(3, 32, 32, generator=generator)
        return dict(inputs=image, label=index % 3)


@HOOKS.register_module()
class RecordHook(Hook):
    """Keep the losses of a run."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append(float(outputs['loss']))


def config(folder: Path, steps: int, **changes) -> Config:
    cfg = Config.fromfile(config_path('_base_/schedules/fsdp.py'))
    cfg.strategy.model_wrapper.device_id = torch.device('cpu')
    # 'full' moves what it gathers to the CPU; torch frees it if it is there already.
    cfg.strategy.state_dict_cfg = dict(
        state_dict_type='FULL_STATE_DICT',
        state_dict_config=dict(type='FullStateDictConfig', rank0_only=True),
        optim_state_dict_config=dict(
            type='FullOptimStateDictConfig', rank0_only=True, offload_to_cpu=False
        ),
    )
    cfg.merge_from_dict(
        dict(
            default_scope='mmengine',
            log_level='WARNING',
            launcher='pytorch',
            work_dir=str(folder / 'work'),
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
            custom_hooks=[
                dict(type=hook) for hook in ('BackboneWeightsHook', 'LoadReportHook', 'RecordHook')
            ],
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
            randomness=dict(seed=0),
        )
        | changes
    )
    return cfg


def train(cfg: Config, folder: Path, name: str) -> None:
    runner = RUNNERS.build(cfg)
    runner.train()
    (losses,) = (hook.losses for hook in runner.hooks if isinstance(hook, RecordHook))
    names = {p: n.replace('_fsdp_wrapped_module.', '') for n, p in runner.model.named_parameters()}
    groups = {
        names[param]: (group['lr'], group['weight_decay'])
        for group in runner.optim_wrapper.optimizer.param_groups
        for param in group['params']
    }
    written = dict(losses=losses, groups=groups)
    (folder / f'{name}_{dist.get_rank()}.json').write_text(json.dumps(written))


def main(rank: int, folder: Path) -> None:
    # mmengine's own set-up of the process group calls CUDA.
    store = f'file://{folder / "store"}'
    dist.init_process_group('gloo', init_method=store, rank=rank, world_size=WORLD_SIZE)
    os.environ['LOCAL_RANK'] = str(rank)
    train(config(folder, STEPS, load_from=str(folder / 'initial.pth')), folder, 'trained')
    resumed = config(folder, 2 * STEPS, resume=str(folder / 'work' / f'iter_{STEPS}.pth'))
    train(resumed, folder, 'resumed')
    in_bf16 = dict(
        load_from=str(folder / 'initial.pth'),
        work_dir=str(folder / 'bf16'),
        optim_wrapper=OPTIM_WRAPPER | dict(type='Bf16OptimWrapper'),
    )
    train(config(folder, STEPS, **in_bf16), folder, 'bf16')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(int(sys.argv[1]), Path(sys.argv[2]))
