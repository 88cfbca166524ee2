# Cascade R-CNN with SwinV2-T, window 16, on COCO for one GPU: 36 epochs, short side 480 to 800,
# long side at most 1333, and crops. Not in the paper, but with the optimizer of its ablation:
# gradients of 4 passes with 4 images each are accumulated to its batch of 16. Uses bf16 and
# activation checkpointing, for a GPU of 24 GB or more. Assumed: drop path 0.2.
_base_ = [
    '../_base_/models/cascade-rcnn.py',
    '../_base_/datasets/coco_detection_ms-480-800.py',
    '../_base_/schedules/adamw_3x.py',
    'mmdet::_base_/default_runtime.py',
]
model = dict(backbone=dict(with_cp=True))
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(type='Bf16OptimWrapper', accumulative_counts=4)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = 4000  # iterations, or 1000 steps
