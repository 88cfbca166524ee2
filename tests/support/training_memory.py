"""Peak memory of training an UperNet on the CPU: training_memory.py ARCH IMAGES SIDE WITH_CP BF16.

Prints MiB above what the libraries take, as planned and as measured over three steps with AdamW. A
process of its own, as the allocator keeps what it took.
"""

from __future__ import annotations

import gc
import sys

import torch
from commands import ROOT
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

import swinv2_dense.seg  # noqa: F401
from swinv2_dense.benchmark.worker import Memory
from swinv2_dense.cli.plan import config_costs
from swinv2_dense.costs.training_step import memory

NAME = 'upernet_swinv2-{}-w16_1xb16-bf16-160k_ade20k-512x512.py'


def config(arch: str, images: int, side: int, with_cp: bool, bf16: bool) -> Config:
    cfg = Config.fromfile(ROOT / 'configs/segmentation' / NAME.format(arch))
    cfg.model.backbone.update(init_cfg=None, with_cp=with_cp, window_size=8)
    cfg.model.data_preprocessor.size = (side, side)
    for head in ('decode_head', 'auxiliary_head'):
        cfg.model[head].norm_cfg = dict(type='BN')
    cfg.train_dataloader.batch_size = images
    cfg.optim_wrapper.type = 'Bf16OptimWrapper' if bf16 else 'OptimWrapper'
    return cfg


def batch(images: int, side: int) -> dict:
    samples = []
    for _ in range(images):
        sample = SegDataSample(metainfo=dict(img_shape=(side, side), ori_shape=(side, side)))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 150, (1, side, side)))
        samples.append(sample)
    inputs = [torch.randint(0, 256, (3, side, side), dtype=torch.uint8) for _ in range(images)]
    return dict(inputs=inputs, data_samples=samples)


def main(arch: str, images: int, side: int, with_cp: bool, bf16: bool) -> None:
    init_default_scope('mmseg')
    cfg = config(arch, images, side, with_cp, bf16)
    costs, _ = config_costs(cfg, (side, side))
    planned = sum(memory(costs, 'DDP', 1).values())
    gc.collect()
    measured = Memory('cpu')
    model = MODELS.build(cfg.model).train()
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    for _ in range(3):
        model.train_step(batch(images, side), optim_wrapper)
    print(round(planned / 2**20), round(measured.peak()))


if __name__ == '__main__':
    arch, *numbers = sys.argv[1:]
    images, side, with_cp, bf16 = map(int, numbers)
    main(arch, images, side, bool(with_cp), bool(bf16))
