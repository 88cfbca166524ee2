# Pre-training quickstart
_base_ = [
    '../_base_/models/simmim_small.py',
    '../_base_/datasets/surfaces_unlabeled.py',
    '../_base_/runtime/pretraining.py',
]
max_iters = 1000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=250)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='SwinV2OptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', begin=50, T_max=max_iters - 50, by_epoch=False),
]
default_hooks = dict(
    logger=dict(interval=25, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=max_iters),
)
log_processor = dict(by_epoch=False)
