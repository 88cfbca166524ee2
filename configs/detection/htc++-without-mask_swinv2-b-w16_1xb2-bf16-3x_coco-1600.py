# HTC++ without masks, with SwinV2-B, window 16, on COCO's boxes for one GPU: short side 400 to
# 1400, long side at most 1600, 36 epochs. Not in the paper, but with the optimizer of its ablation:
# gradients of 8 passes with 2 images each are accumulated to its batch of 16. Uses bf16 and
# activation checkpointing, for a GPU of 40 GB or more. Assumed: drop path 0.2 as in V1's HTC++,
# weights of ImageNet-22K, one lr for backbone and heads.
_base_ = [
    '../_base_/models/htc++_without-mask.py',
    '../_base_/datasets/coco_detection_ms-400-1400.py',
    '../_base_/schedules/adamw_3x.py',
    'mmdet::_base_/default_runtime.py',
]
model = dict(backbone=dict(with_cp=True))
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(type='Bf16OptimWrapper', accumulative_counts=8)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = 8000  # iterations, or 1000 steps
