# Faster R-CNN with SwinV2-T, window 16, on COCO for one GPU: 12 epochs, short side 800, long side
# at most 1333. Not in the paper, but with the optimizer of its ablation: gradients of 4 passes with
# 4 images each are accumulated to its batch of 16. Uses bf16 and activation checkpointing, for a
# GPU of 24 GB or more. Assumed: drop path 0.2.
_base_ = [
    '../_base_/models/faster-rcnn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/schedules/adamw_1x.py',
    'mmdet::_base_/default_runtime.py',
]
model = dict(backbone=dict(with_cp=True))
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(type='Bf16OptimWrapper', accumulative_counts=4)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = 4000  # iterations, or 1000 steps
