"""Trainings of test_detr_distributed.py, alone or as one of two processes.

`detr_ranks.py FOLDER NAME...` trains FOLDER/NAME.py by the command line for each name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import distributed_jobs  # noqa: F401  registers RecordRankHook
import torch
import torch.distributed as dist
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS

HEADS = {
    'plain': 'plain-detr-reparam_swinv2-s-w16_16xb1-1x_coco',
    'dino': 'dino-4scale_swinv2-t-w16_8xb2-1x_coco',
    'mask2former': 'mask2former_swinv2-t-w16_8xb2-50e_coco',
    'panoptic': 'mask2former_swinv2-t-w16_8xb2-50e_coco-panoptic',
}
STEPS = 2


@HOOKS.register_module()
class SeedStepsHook(Hook):
    """The same random numbers in a step of any run: DINO's noise, Mask2Former's points."""

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        torch.manual_seed(runner.iter)


@TRANSFORMS.register_module()
class ResizeById(BaseTransform):
    """Images with odd ids are smaller, so that batches are padded."""

    def transform(self, results: dict) -> dict:
        from mmdet.datasets.transforms import Resize

        scale = (104, 72) if results['img_id'] % 2 else (128, 96)
        return Resize(scale=scale, keep_ratio=False)(results)


def write_config(folder: Path, tree: Path, head: str, images: int, fragment: str = '') -> str:
    """A training of a narrow head on `images` images per process; returns the name of its config.

    What differs by chance is left out, but for what `SeedStepsHook` makes equal.
    """
    from contracts.detr import CONTRACT, shrink

    from swinv2_dense import config_path

    cfg = CONTRACT.load(HEADS[head]).copy()
    shrink(cfg, tree)
    cfg.custom_hooks += [dict(type='RecordRankHook'), dict(type='SeedStepsHook')]
    cfg.model.backbone.update(drop_path_rate=0.0, with_cp=True)
    cfg.model.data_preprocessor.pop('batch_augments', None)
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3))
    load = cfg.train_dataloader.dataset.pipeline[:2]
    steps = [*load, dict(type='ResizeById'), dict(type='PackDetInputs')]
    cfg.train_dataloader.dataset.pipeline = steps
    sampler = dict(type='InfiniteSampler', shuffle=False)
    cfg.train_dataloader.update(batch_size=images, sampler=sampler)
    cfg.train_cfg.max_iters = STEPS
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=STEPS)
    name = '_'.join(filter(None, (head, str(images), fragment)))
    cfg.dump(folder / f'base_{name}.py')
    parts = [f'./base_{name}.py']
    if fragment:
        parts.append(str(config_path(f'_base_/schedules/{fragment}.py')))
    (folder / f'{name}.py').write_text(f'_base_ = {parts}\n')
    return name


def main(folder: Path, *names: str) -> None:
    from swinv2_dense.cli.train import main as train

    torch.set_num_threads(1)
    launcher = 'pytorch' if 'RANK' in os.environ else 'none'
    for name in names:
        work = ['--work-dir', str(folder / name), '--launcher', launcher, '--seed', '0']
        train([str(folder / f'{name}.py'), *work, '--no-validate'])
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == '__main__':
    main(Path(sys.argv[1]), *sys.argv[2:])
