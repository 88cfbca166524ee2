# UperNet with SwinV2-T, window 16, on ADE20K at 512 x 512 for one GPU with little memory. Not in
# the paper, but with the optimizer of its ablation: gradients of 4 passes with 4 images each are
# accumulated to its batch of 16. An iteration is one pass, so 160,000 steps are 640,000 iterations,
# and 1500 steps of warm-up are 6000.
# Group norm, because batch norm would see only one pass; bf16 and activation checkpointing.
_base_ = [
    '../_base_/models/upernet_gn.py',
    'mmseg::_base_/datasets/ade20k.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/runtime/segmentation.py',
]
parts = 4
model = dict(backbone=dict(with_cp=True))
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(type='Bf16OptimWrapper', accumulative_counts=parts)
train_cfg = dict(max_iters=160000 * parts, val_interval=16000 * parts)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, end=1500 * parts),
    dict(type='PolyLR', power=1.0, by_epoch=False, begin=1500 * parts, end=160000 * parts),
]
default_hooks = dict(checkpoint=dict(interval=16000 * parts))
